"""The queue model of the capacity plan against real servers, one and three replicas, through real sockets.

The servers take times that are known, and longer ones on a busy machine, so that its speed does not
decide. All loads run at the same time, each on servers of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from maskweave_bench.calls import Caller
from maskweave_bench.capacity.curve import Curve, fit
from maskweave_bench.capacity.station import Queue
from maskweave_bench.capacity.steady import Steady
from maskweave_bench.discovery import list_models
from maskweave_bench.loops import Bounds, closed_loop, open_loop
from maskweave_bench.record import Load, Trial
from maskweave_bench.requests import Mix, prepare
from maskweave_bench.results import Results, TargetResult
from maskweave_bench.samples import Sample, columns
from maskweave_bench.scenario import Ask, Scenario
from maskweave_bench.schedule import Times, poisson
from maskweave_bench.summary import summarize
from maskweave_bench.target import Target
from tests.support.delay_server import Delays, delay_servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Four durations and three replicas in turn: every replica gets all of them.
SHAPE = (0.73, 1.09, 0.91, 1.27)
SERVERS = 2
CLIENTS = (1, 2, 4, 8)
SHARES = (0.5, 0.7, 0.9)
REPLICAS = (1, 3)
TARGET_SHARE = 4.0
"""What the 99th percentile may be at the knee, in relation to the mean duration."""

LONGEST_SECONDS = 0.8
BOUNDS = Bounds(max_lag=30.0, drain_seconds=60.0)
SCENARIO = Scenario(requests=(Ask(timeout_seconds=60.0),))


@pytest.fixture(scope="module")
def duration() -> float:
    """Mean seconds of a request, long enough that what this machine adds now is little."""

    async def lateness() -> float:
        loop = asyncio.get_running_loop()
        late = []
        for _ in range(60):
            due = loop.time() + 0.02
            await asyncio.sleep(0.02)
            late.append(loop.time() - due)
        return float(np.percentile(late, 80))

    # There and back there are four such waits.
    return min(LONGEST_SECONDS, max(0.2, 4 * asyncio.run(lateness()) / 0.05))


def delays(duration: float) -> Delays:
    return Delays(tuple(share * duration for share in SHAPE), servers=SERVERS)


def target(addresses: Sequence[str]) -> Target:
    return Target("a", tuple(addresses))


async def closed(mix: Mix, address: str, clients: int, seconds: float) -> list[Sample]:
    caller = Caller(target([address]), mix, first_seed=0, max_lag=30.0)
    samples: list[Sample] = []
    await caller.connect()
    begin = asyncio.get_running_loop().time() + 0.2
    await closed_loop(
        clients, seconds, caller.send, samples.append, begin=begin, bounds=BOUNDS, max_requests=10_000
    )
    await caller.close()
    return samples


async def opened(mix: Mix, addresses: Sequence[str], times: Times) -> list[Sample]:
    caller = Caller(target(addresses), mix, first_seed=0, max_lag=30.0)
    samples: list[Sample] = []
    await caller.connect()
    begin = asyncio.get_running_loop().time() + 0.2
    await open_loop(times, range(times.size), caller.send, samples.append, begin=begin, bounds=BOUNDS)
    await caller.close()
    return samples


def trial(samples: list[Sample], load: Load) -> Trial:
    return summarize(
        columns(samples),
        target="a",
        load=load,
        repeat=0,
        started=0.0,
        warmup_seconds=1.0,
        kinds=["one"],
        processes=1,
        cpu=0.0,
        loop_busy=0.0,
        metrics={},
        lag_tolerance=30.0,
    )


def results(trials: list[Trial]) -> Results:
    about = TargetResult(name="a", addresses=["x"], tls=False, model="delays", model_version="1")
    return Results(
        version="1", created="", command=[], scenario={}, environment={}, targets=[about], trials=trials
    )


@pytest.fixture(scope="module")
def curve(duration: float) -> Curve:
    """What closed loops on one replica say of it, and one open loop."""
    seconds, rate = 80 * duration, 0.4 * SERVERS / duration
    loads = [Load(kind="closed", clients=number, seconds=seconds) for number in CLIENTS]
    loads.append(Load(kind="poisson", rate=rate, seconds=seconds))

    async def measure(addresses: Sequence[str], mix: Mix) -> list[list[Sample]]:
        times = poisson(rate, seconds, np.random.default_rng(1))
        return await asyncio.gather(
            *(
                closed(mix, address, number, seconds)
                for address, number in zip(addresses, CLIENTS, strict=False)
            ),
            opened(mix, addresses[-1:], times),
        )

    with delay_servers(delays(duration), len(loads)) as addresses:
        mix = prepare(SCENARIO, list_models([target(addresses[:1])])[0])
        measured = asyncio.run(measure(addresses, mix))
    return fit(results([trial(each, load) for each, load in zip(measured, loads, strict=True)]))


def predicted(curve: Curve, due: Times, replicas: int) -> Times:
    """Latencies by the model; how long which request takes is known, so that chance has no say in it."""
    queues = [Queue(curve.station) for _ in range(replicas)]
    return np.array(
        [
            queues[number % replicas].take(time, SHAPE[number % len(SHAPE)])
            for number, time in enumerate(due.tolist())
        ]
    )


def test_a_replica_is_what_was_put_in(curve: Curve, duration: float) -> None:
    assert curve.station.servers == SERVERS
    assert curve.station.capacity == pytest.approx(SERVERS / duration, rel=0.15)


def test_the_model_predicts_one_and_three_replicas_within_15_percent(curve: Curve, duration: float) -> None:
    knee = Steady(curve.station).knee(99, TARGET_SHARE * duration)
    cases = [(replicas, share) for replicas in REPLICAS for share in SHARES]
    times = [
        poisson(replicas * share * knee, 100 * duration, np.random.default_rng([7, number]))
        for number, (replicas, share) in enumerate(cases)
    ]
    places = np.cumsum([0, *(replicas for replicas, _ in cases)]).tolist()

    async def measure(addresses: Sequence[str], mix: Mix) -> list[list[Sample]]:
        return await asyncio.gather(
            *(
                opened(mix, addresses[first:last], due)
                for first, last, due in zip(places[:-1], places[1:], times, strict=True)
            )
        )

    with delay_servers(delays(duration), places[-1]) as addresses:
        mix = prepare(SCENARIO, list_models([target(addresses[:1])])[0])
        measured = asyncio.run(measure(addresses, mix))
    for (replicas, share), due, samples in zip(cases, times, measured, strict=True):
        taken = columns(samples)
        assert taken.ok.all()
        modelled = predicted(curve, due, replicas)
        for percent in (50, 99):
            real, said = float(np.percentile(taken.latency, percent)), float(np.percentile(modelled, percent))
            assert said == pytest.approx(real, rel=0.15), f"p{percent} of {replicas} at {share:.0%}"


def test_the_command_plans_from_stated_figures(tmp_path: Path) -> None:
    file = tmp_path / "curve.yaml"
    file.write_text("{name: stated, rate: 100, milliseconds: 15, servers: 2}\n")
    output = tmp_path / "plan" / "capacity.json"
    arguments = [
        "--traffic",
        "day",
        "--peak",
        "60",
        "--hours",
        "9:11",
        "--p99-ms",
        "200",
        "--cost-per-hour",
        "2",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "maskweave_bench", "capacity", file, *arguments, "--output", output, "--gate"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in {0, 3}, done.stderr
    plan = json.loads(output.read_text())
    assert plan["format"] == "maskweave-capacity/1"
    (fixed, current) = plan["runs"]
    assert fixed["kept"]
    assert fixed["cost"] == pytest.approx(2 * 2 * plan["sizing"]["replicas"])
    assert (done.returncode == 0) is current["kept"]
    assert "per million images" in output.with_suffix(".md").read_text()
    assert "<svg" in output.with_suffix(".html").read_text()
