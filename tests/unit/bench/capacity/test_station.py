"""The queue of a replica against what queueing theory says, and the fit against replicas that are known."""

from __future__ import annotations

import math
from heapq import heappop, heappush

import numpy as np
import pytest

from maskweave_bench.capacity.curve import CurveError, fit
from maskweave_bench.capacity.station import REFUSED, Floats, Queue, Station, lognormal, run, run_closed
from maskweave_bench.capacity.steady import Steady, bins_of, percentile_of, slower_than
from maskweave_bench.record import Load, Trial
from maskweave_bench.results import Results, TargetResult
from maskweave_bench.samples import OK, Sample
from tests.support.trials import trial_of

pytestmark = pytest.mark.timeout(300)

EXPONENTIAL = -np.log(1 - (np.arange(4096) + 0.5) / 4096)


def erlang_c(servers: int, load: float) -> float:
    """Probability that a request of M/M/c waits."""
    terms = [load**n / math.factorial(n) for n in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("servers", "share"), [(1, 0.5), (1, 0.8), (3, 0.7), (8, 0.85)])
def test_waiting_is_what_erlang_says(servers: int, share: float) -> None:
    random = np.random.default_rng(1)
    station = Station(np.full(servers, 0.1), EXPONENTIAL / EXPONENTIAL.mean(), patience=1e9)
    rate = share * servers / 0.1
    arrivals = np.cumsum(random.exponential(1 / rate, 100_000))
    waits = erlang_c(servers, share * servers) * 0.1 / (servers * (1 - share))
    assert run(station, arrivals, random)[1000:].mean() == pytest.approx(0.1 + waits, rel=0.05)


def test_a_queue_with_one_duration_is_m_d_1() -> None:
    random = np.random.default_rng(2)
    station = Station(np.array([0.05]), np.ones(1), overhead=0.003, patience=1e9)
    arrivals = np.cumsum(random.exponential(1 / 14, 100_000))
    share = 14 * 0.05
    assert run(station, arrivals, random).mean() == pytest.approx(
        0.053 + share * 0.05 / (2 * (1 - share)), rel=0.03
    )


def test_requests_slow_one_another_down() -> None:
    queue = Queue(Station(np.array([1.0, 1.5, 2.0]), np.ones(1)))
    assert [queue.take(0.0, 1.0) for _ in range(4)] == [1.0, 1.5, 2.0, 1.0 + 2.0]
    assert (queue.working(0.5), queue.waiting(0.5)) == (3, 1)
    assert (queue.working(1.2), queue.waiting(1.2)) == (3, 0)


def test_who_would_wait_too_long_is_refused_and_takes_no_place() -> None:
    queue = Queue(Station(np.array([1.0]), np.ones(1), patience=1.5))
    assert [queue.take(0.0, 1.0) for _ in range(4)] == [1.0, 2.0, REFUSED, REFUSED]
    assert queue.take(2.0, 1.0) == 1.0


def test_replicas_in_turn_are_smoother_than_by_chance() -> None:
    random = np.random.default_rng(3)
    station = Station.stated(rate=50, seconds=0.02, servers=1)
    arrivals = np.cumsum(random.exponential(1 / 120, 60_000))
    in_turn = run(station, arrivals, random, replicas=3)
    by_chance = run(station, arrivals, random, replicas=3, in_turn=False)
    assert np.percentile(in_turn, 99) < 0.8 * np.percentile(by_chance, 99)


def test_impossible_figures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"servers: got 1; allowed: at least 2"):
        Station.stated(rate=100, seconds=0.02, servers=1)


def test_a_spread_has_mean_one() -> None:
    assert lognormal(0.5).mean() == pytest.approx(1)
    assert np.std(np.log(lognormal(0.5))) == pytest.approx(0.5, rel=0.02)


def test_bins_keep_percentiles_to_a_percent() -> None:
    values = np.random.default_rng(4).lognormal(-3, 1, 50_000)
    bins = bins_of(values)
    for percent in (1, 50, 99, 99.9):
        assert percentile_of(bins, percent) == pytest.approx(np.percentile(values, percent), rel=0.015)
    assert slower_than(bins, 0.1) == pytest.approx((values > 0.1).sum(), rel=0.02)
    assert math.isnan(percentile_of(np.zeros_like(bins), 50))


def test_the_knee_of_a_steady_replica_is_where_its_percentile_crosses() -> None:
    station = Station(np.array([0.1]), EXPONENTIAL / EXPONENTIAL.mean(), patience=1e9)
    # M/M/1: the 99th percentile is ln 100 / (capacity - rate).
    assert Steady(station).knee(99, 1.0) == pytest.approx(10 - math.log(100), rel=0.08)
    assert Steady(station).knee(99, 0.2) == 0.0


def measured(truth: Station, load: Load, seed: int) -> Trial:
    """A trial at a replica that is known."""
    random = np.random.default_rng(seed)
    if load.is_open:
        assert load.rate is not None
        due = np.sort(random.uniform(0, load.seconds, int(random.poisson(load.rate * load.seconds))))
        latency: Floats = run(truth, due, random)
    else:
        due, latency = _closed(truth, load, random)
    samples = [
        Sample(number, 0, at, at, at + took, OK, {"total": took - truth.overhead}, 1, 100)
        for number, (at, took) in enumerate(zip(due.tolist(), latency.tolist(), strict=True))
    ]
    return trial_of(samples, load, warmup_seconds=1.0)


def _closed(truth: Station, load: Load, random: np.random.Generator) -> tuple[Floats, Floats]:
    clients = load.clients or 1
    latency = run_closed(truth, clients, round(truth.capacity * load.seconds), random)
    asks, due = [0.0] * clients, []
    for took in latency.tolist():
        due.append(heappop(asks))
        heappush(asks, due[-1] + took)
    return np.array(due), latency


def results(trials: list[Trial]) -> Results:
    return Results(
        version="1",
        created="",
        command=[],
        scenario={},
        environment={},
        targets=[TargetResult(name="a", addresses=["x"], tls=False, model="m", model_version="1")],
        trials=trials,
    )


@pytest.mark.parametrize(
    "truth",
    [
        Station.stated(rate=60, seconds=0.02, servers=2, spread=0.2, overhead=0.002),
        Station.stated(rate=25, seconds=0.04, servers=1, spread=0.1),
        Station.stated(rate=200, seconds=0.01, servers=4, spread=0.4, overhead=0.001),
    ],
    ids=["two", "one", "four"],
)
def test_a_replica_is_known_again_from_what_run_measures(truth: Station) -> None:
    peak = truth.capacity
    loads = [Load(kind="closed", clients=number, seconds=20) for number in (1, 2, 4, 16)]
    loads += [Load(kind="poisson", rate=share * peak, seconds=60) for share in (0.5, 0.7, 0.9)]
    curve = fit(results([measured(truth, load, number) for number, load in enumerate(loads)]))
    assert curve.station.capacity == pytest.approx(peak, rel=0.06)
    assert curve.station.seconds[0] == pytest.approx(truth.seconds[0], rel=0.1)
    random = np.random.default_rng(9)
    for share in (0.3, 0.6, 0.8):
        arrivals = np.cumsum(random.exponential(1 / (share * peak), 20_000))
        for percent in (50, 99):
            ours, theirs = (
                float(np.percentile(run(each, arrivals, random), percent)) for each in (curve.station, truth)
            )
            assert ours == pytest.approx(theirs, rel=0.15), (share, percent)


def test_results_without_loads_enough_are_refused() -> None:
    truth = Station.stated(rate=60, seconds=0.02, servers=2)
    with pytest.raises(CurveError, match="needed: a closed loop, or open loops at two rates"):
        fit(results([measured(truth, Load(kind="poisson", rate=10, seconds=5), 0)]))
    with pytest.raises(CurveError, match="got 'b'; the results have a"):
        fit(results([measured(truth, Load(kind="closed", clients=1, seconds=5), 0)]), "b")


def test_a_queue_taken_for_work_is_told() -> None:
    truth = Station.stated(rate=60, seconds=0.02, servers=2)
    loads = [Load(kind="poisson", rate=rate, seconds=20) for rate in (40.0, 50.0)]
    curve = fit(results([measured(truth, load, number) for number, load in enumerate(loads)]))
    assert any("waiting is taken for work" in warning for warning in curve.warnings)
