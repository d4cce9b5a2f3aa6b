"""The queue model of the capacity plan against real gateways, one and three replicas.

Their images take times that are known and no processor, and longer ones on a busy machine, so that its speed
does not decide. All loads run at the same time, each on gateways of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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
from maskweave_bench.target import Target
from tests.support.gateway_process import gateway_process
from tests.support.paced_triton import PacedTriton, paced_triton
from tests.support.priority import going_first
from tests.support.trials import trial_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Each replica takes these in turn.
SHAPE = (0.73, 1.09, 0.91, 1.27)
SERVERS = 2
CLIENTS = (1, 2, 4, 8)
SHARES = (0.5, 0.7, 0.9)
REPLICAS = (1, 3)
TARGET_SHARE = 4.0
"""What the 99th percentile may be at the knee, in relation to the mean duration."""

SHORTEST_SECONDS, LONGEST_SECONDS = 0.25, 1.2
STALLED_SHARE = 0.05
"""How late, in relation to the mean duration, a request that was sent says that the machine stood still: what
was measured then is measured again."""
ATTEMPTS = 3
BOUNDS = Bounds(max_lag=30.0, drain_seconds=60.0)
SCENARIO = Scenario(requests=(Ask(timeout_seconds=60.0),))


class Fleet(NamedTuple):
    """Gateways and what they stand on."""

    tritons: list[PacedTriton]
    addresses: list[str]
    processes: list[int]

    def pace(self, *seconds: float) -> list[str]:
        """The gateways' addresses, whose next images take these times in turn."""
        for triton in self.tritons:
            triton.pace(seconds)
        return self.addresses

    def run(self, measure: Callable[[], Coroutine[None, None, list[list[Sample]]]]) -> list[list[Sample]]:
        """Measure before other processes: what these do is no part of the model."""
        with going_first(*self.processes):
            return asyncio.run(measure())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """As many gateways as all loads take together, each on a Triton of its own."""
    nowhere = tmp_path_factory.mktemp("nothing")
    with ExitStack() as stack:
        tritons, addresses, processes = [], [], []
        for _ in range(sum(REPLICAS) * len(SHARES)):
            paced, triton = stack.enter_context(paced_triton(SHORTEST_SECONDS))
            gateway = stack.enter_context(
                gateway_process(nowhere, engine="triton", triton_url=triton, concurrency_limit=SERVERS)
            )
            tritons.append(paced)
            addresses.append(gateway.address)
            processes.append(gateway.process.pid)
        yield Fleet(tritons, addresses, processes)


@pytest.fixture(scope="module")
def mix(fleet: Fleet) -> Mix:
    """The request."""
    return prepare(SCENARIO, list_models([target(fleet.addresses[:1])])[0])


@pytest.fixture(scope="module")
def duration(fleet: Fleet, mix: Mix) -> float:
    """Mean seconds of an image, long enough that what this machine adds now is little."""
    fleet.pace(SHORTEST_SECONDS)

    async def measure() -> list[list[Sample]]:
        return await asyncio.gather(*(closed(mix, address, SERVERS, 2.0) for address in fleet.addresses))

    found = [each for samples in fleet.run(measure) for each in samples]
    added = float(np.percentile([each.done - each.sent for each in found], 80)) - SHORTEST_SECONDS
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, added / 0.05))


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


def results(trials: list[Trial]) -> Results:
    about = TargetResult(name="a", addresses=["x"], tls=False, model="delays", model_version="1")
    return Results(
        version="1", created="", command=[], scenario={}, environment={}, targets=[about], trials=trials
    )


@pytest.fixture(scope="module")
def curve(duration: float, fleet: Fleet, mix: Mix) -> Curve:
    """What closed loops on one replica say of it, and one open loop; the others have as much to do."""
    seconds, rate = 40 * duration, 0.4 * SERVERS / duration
    loads = [Load(kind="closed", clients=number, seconds=seconds) for number in CLIENTS]
    loads.append(Load(kind="poisson", rate=rate, seconds=seconds))
    addresses = fleet.pace(*(share * duration for share in SHAPE))

    async def measure() -> list[list[Sample]]:
        times = poisson(rate, seconds, np.random.default_rng(1))
        rest = addresses[len(CLIENTS) :]
        return await asyncio.gather(
            *(
                closed(mix, address, number, seconds)
                for address, number in zip(addresses, CLIENTS, strict=False)
            ),
            *(opened(mix, [address], times) for address in rest),
        )

    measured = fleet.run(measure)[: len(loads)]
    trials = [
        trial_of(each, load, warmup_seconds=1.0, lag_tolerance=30.0)
        for each, load in zip(measured, loads, strict=True)
    ]
    return fit(results(trials))


def predicted(curve: Curve, due: Times, replicas: int) -> Times:
    """Latencies by the model; how long which request takes is known, so that chance has no say in it."""
    queues = [Queue(curve.station) for _ in range(replicas)]
    return np.array(
        [
            queues[number % replicas].take(time, SHAPE[number // replicas % len(SHAPE)])
            for number, time in enumerate(due.tolist())
        ]
    )


def test_a_replica_is_what_was_put_in(curve: Curve, duration: float) -> None:
    assert curve.station.servers == SERVERS
    assert curve.station.capacity == pytest.approx(SERVERS / duration, rel=0.15)


def test_the_model_predicts_one_and_three_replicas_within_15_percent(
    curve: Curve, duration: float, fleet: Fleet, mix: Mix
) -> None:
    knee = Steady(curve.station).knee(99, TARGET_SHARE * duration)
    cases = [(replicas, share) for replicas in REPLICAS for share in SHARES]
    times = [
        poisson(replicas * share * knee, 60 * duration, np.random.default_rng([7, number]))
        for number, (replicas, share) in enumerate(cases)
    ]
    addresses = fleet.pace(*(share * duration for share in SHAPE))
    places = np.cumsum([0, *(replicas for replicas, _ in cases)]).tolist()

    async def measure() -> list[list[Sample]]:
        return await asyncio.gather(
            *(
                opened(mix, addresses[first:last], due)
                for first, last, due in zip(places[:-1], places[1:], times, strict=True)
            )
        )

    for attempt in range(1, ATTEMPTS + 1):
        measured = fleet.run(measure)
        late = max(float(np.max(taken.sent - taken.due)) for taken in map(columns, measured))
        if late <= STALLED_SHARE * duration or attempt == ATTEMPTS:
            break
    for (replicas, share), due, samples in zip(cases, times, measured, strict=True):
        taken = columns(samples)
        assert taken.ok.all()
        modelled = predicted(curve, due, replicas)
        for percent in (50, 99):
            real, said = float(np.percentile(taken.latency, percent)), float(np.percentile(modelled, percent))
            assert said == pytest.approx(real, rel=0.15), (
                f"p{percent} of {replicas} at {share:.0%}, {late:.3f} s late"
            )


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
