"""Simulated fleets whose fate is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskweave_bench.capacity import fleet
from maskweave_bench.capacity.autoscaler import IN_PROGRESS, WORK_WAITING, Scaling
from maskweave_bench.capacity.curve import Curve
from maskweave_bench.capacity.fleet import fixed, simulate
from maskweave_bench.capacity.outcome import Target
from maskweave_bench.capacity.plan import Case, NotKeptError, Wanted, search, size
from maskweave_bench.capacity.station import Station
from maskweave_bench.capacity.steady import Steady
from maskweave_bench.capacity.traffic import (
    Traffic,
    TrafficError,
    constant_traffic,
    described,
    read_description,
    traced,
)

pytestmark = pytest.mark.timeout(300)

STATION = Station.stated(rate=20, seconds=0.05, servers=1, spread=0.2)
STEADY = Steady(STATION, requests=6000)
TARGET = Target(0.3)


def test_a_fixed_fleet_is_paid_for_and_keeps_what_it_can_hold() -> None:
    outcome = simulate(STEADY, fixed(4), constant_traffic(40, 1800), TARGET)
    assert outcome.replica_seconds == pytest.approx(4 * 1800)
    assert outcome.requests == pytest.approx(40 * 1800, rel=0.02)
    assert outcome.outside == 0
    assert [minute.ready for minute in outcome.minutes] == [4.0] * 30


def test_what_is_too_much_is_outside_and_nothing_is_lost_in_the_sums() -> None:
    outcome = simulate(STEADY, fixed(1), constant_traffic(30, 600), TARGET)
    assert outcome.outside == 1
    assert outcome.requests == pytest.approx(30 * 600, rel=0.02)
    assert outcome.requests - outcome.refused == pytest.approx(20 * 600 + 200, rel=0.05)


@pytest.mark.parametrize("replicas", [1, 4])
def test_short_cuts_come_to_the_same_as_every_request_by_itself(
    replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic = constant_traffic(12 * replicas, 1800)
    quick = simulate(STEADY, fixed(replicas), traffic, TARGET)
    monkeypatch.setattr(fleet, "_LIGHT", 0.0)
    whole = simulate(STEADY, fixed(replicas), traffic, TARGET)
    assert quick.requests == pytest.approx(whole.requests, rel=0.02)
    for percent in (50, 99):
        ours, theirs = quick.percentile(percent), whole.percentile(percent)
        assert ours == pytest.approx(theirs, rel=0.12)


def test_an_autoscaler_follows_and_the_delay_is_what_its_parts_add_up_to() -> None:
    traffic = Traffic("step", 3600.0, np.repeat([10.0, 50.0], 1800))
    scaling = Scaling(
        targets={IN_PROGRESS: 0.6}, fewest=1, most=12, start=90.0, ready=0.0, discovery=0.0, up_period=15.0
    )
    outcome = simulate(STEADY, scaling, traffic, TARGET)
    bad = [minute.begin for minute in outcome.minutes if minute.outside]
    assert min(bad) == 1800
    # A look, a decision, a start, and the queue has to be worked off.
    assert 1800 + 60 <= max(bad) <= 1800 + 420
    assert outcome.minutes[-1].ready >= 3
    slower = simulate(STEADY, Scaling(**{**vars(scaling), "start": 240.0}), traffic, TARGET)
    assert slower.outside > outcome.outside


def test_callers_that_do_not_look_again_leave_a_new_replica_idle() -> None:
    traffic = Traffic("step", 2400.0, np.repeat([10.0, 50.0], [600, 1800]))
    at_once, late = (
        simulate(
            STEADY,
            Scaling(targets={IN_PROGRESS: 0.6}, fewest=1, most=12, start=30.0, discovery=seconds),
            traffic,
            TARGET,
        )
        for seconds in (0.0, 600.0)
    )
    assert late.outside > at_once.outside


def test_waiting_work_alone_brings_replicas_too() -> None:
    scaling = Scaling(targets={WORK_WAITING: 0.2}, fewest=1, most=10, start=20.0, discovery=0.0)
    outcome = simulate(STEADY, scaling, constant_traffic(50, 1200), TARGET)
    assert outcome.most >= 3


def test_hopeless_settings_end_early() -> None:
    outcome = simulate(STEADY, fixed(1), constant_traffic(60, 7200), TARGET, give_up=0.01)
    assert not outcome.complete
    assert outcome.seconds < 300
    bounded = simulate(STEADY, fixed(1), constant_traffic(60, 7200), TARGET, most_exact=5000)
    assert not bounded.complete


def case(peak: float) -> Case:
    wanted = Wanted(TARGET, outside=0.01)
    traffic = described(read_description("day")).scaled(peak).cut((10, 11))
    return Case(Curve("known", STATION), STEADY, traffic, wanted)


def test_the_search_finds_settings_that_keep_the_target_for_less_than_a_fixed_fleet() -> None:
    asked = case(60)
    sizing = size(STEADY, asked.traffic, asked.wanted)
    found = search(asked, sizing, Scaling(most=20, discovery=0.0, start=30.0))
    assert found
    assert all(run.kept and run.outcome.complete for run in found)
    costs = [run.outcome.replica_seconds for run in found]
    assert costs == sorted(costs)
    assert costs[0] < sizing.replicas * asked.traffic.seconds
    best = found[0]
    assert asked.run("again", best.scaling).outcome.replica_seconds == costs[0]
    # The lowest minimum that is good enough: with less, it is not.
    if best.scaling.fewest > 1:
        fewer = replace(best.scaling, fewest=best.scaling.fewest - 1)
        assert not asked.run("fewer", fewer).kept


def test_sizes_have_headroom_and_spare() -> None:
    asked = case(100)
    sizing = size(STEADY, asked.traffic, asked.wanted)
    assert sizing.headroom_one_lost >= asked.wanted.headroom - 1e-9
    assert (sizing.replicas - 2) * sizing.knee < asked.traffic.peak * 1.2
    with pytest.raises(NotKeptError, match="keeps it at no rate"):
        size(STEADY, asked.traffic, Wanted(Target(0.01)))


def test_traces_keep_their_bursts_when_they_grow() -> None:
    times = np.sort(np.concatenate([np.random.default_rng(0).uniform(0, 600, 600), np.full(300, 300.0)]))
    trace = traced("t", times)
    grown = trace.scaled(2.5)
    assert grown.times is not None
    assert grown.times.size == pytest.approx(2.5 * times.size, rel=0.02)
    assert grown.rates[290:311].sum() > 2.3 * 300
    assert (np.diff(grown.times) >= 0).all()
    assert trace.scaled(0.5).requests == pytest.approx(0.5 * times.size, rel=0.15)


def test_traffic_of_another_region_is_the_same_later() -> None:
    traffic = described(read_description("day"))
    later = traffic.shifted(8)
    assert later.requests == pytest.approx(traffic.requests)
    assert later.rates[8 * 3600 + 100] == traffic.rates[100]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points: [{hour: 1, rate: 1}]", "points: "),
        ("points: [{hour: 2, rate: 1}, {hour: 1, rate: 1}]", "hours that do not ascend"),
        ("points: [{hour: 0, rate: 0}, {hour: 1, rate: 0}]", "no rate above 0"),
        ("points: [{hour: 0, rate: -1}, {hour: 1, rate: 0}]", "points.0.rate"),
        ("{", "is not YAML"),
    ],
)
def test_wrong_traffic_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "traffic.yaml"
    file.write_text(text)
    with pytest.raises(TrafficError, match=message):
        read_description(str(file))
