"""The plan: replicas, what they have to spare and cost, and the cheapest autoscaler that is good enough."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from maskweave_bench.capacity.autoscaler import CPU, IN_PROGRESS, WORK_WAITING, Scaling
from maskweave_bench.capacity.curve import Curve
from maskweave_bench.capacity.fleet import fixed, simulate
from maskweave_bench.capacity.outcome import Outcome, Target
from maskweave_bench.capacity.steady import Steady
from maskweave_bench.capacity.traffic import Traffic

_MOST_REPLICAS = 100_000
_OCCUPANCIES = (0.4, 0.55, 0.7, 0.85)
"""Shares of a replica's knee at which an autoscaler that is looked for may hold it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the fleet.

    Attributes:
        target: The latency to be kept.
        outside: Share of the minutes in which it need not be.
        headroom: Share by which more may come than the highest minute has.
        spare: Replicas that may be lost at the highest minute.
    """

    target: Target
    outside: float = 0.001
    headroom: float = 0.2
    spare: int = 1


@dataclass(frozen=True)
class Sizing:
    """A fleet of a fixed size.

    Attributes:
        knee: Requests a second of one replica at which the target is just kept.
        replicas: How many are needed.
        headroom: By what share more than the highest minute may come.
        headroom_one_lost: The same when one replica is lost.
    """

    knee: float
    replicas: int
    headroom: float
    headroom_one_lost: float


@dataclass(frozen=True)
class Run:
    """A simulated fleet.

    Attributes:
        name: For the report.
        scaling: Its settings.
        outcome: What came of it.
        kept: Whether the target was kept for as much of the time as was wanted.
    """

    name: str
    scaling: Scaling
    outcome: Outcome
    kept: bool

    def cost(self, per_hour: float) -> float:
        """What it cost."""
        return self.outcome.replica_seconds / 3600 * per_hour

    def cost_per_million(self, per_hour: float, images: float) -> float:
        """What a million images cost."""
        made = (self.outcome.requests - self.outcome.refused) * images
        return self.cost(per_hour) / made * 1e6 if made > 0 else math.inf


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a simulation needs, apart from the settings that are tried.

    Attributes:
        curve: A replica.
        steady: The same, at rates that last.
        traffic: What comes.
        wanted: What is asked of the fleet.
        concurrency: As for `simulate`.
        seed: Decides everything that is by chance.
        most_exact: As for `simulate`.
    """

    curve: Curve
    steady: Steady
    traffic: Traffic
    wanted: Wanted
    concurrency: int | None = None
    seed: int = 0
    most_exact: int = 5_000_000

    def run(self, name: str, scaling: Scaling, *, give_up: bool = False) -> Run:
        """Simulate a fleet."""
        outcome = simulate(
            self.steady,
            scaling,
            self.traffic,
            self.wanted.target,
            concurrency=self.concurrency,
            images=self.curve.images_per_request,
            cpu=self.curve.cpu_per_request or 0.0,
            seed=self.seed,
            most_exact=self.most_exact,
            give_up=self.wanted.outside if give_up else 1.0,
        )
        return Run(name, scaling, outcome, outcome.complete and outcome.outside <= self.wanted.outside)


class NotKeptError(ValueError):
    """A target that a replica does not keep at any rate."""


def size(steady: Steady, traffic: Traffic, wanted: Wanted) -> Sizing:
    """How many replicas the highest minute needs.

    Raises:
        NotKeptError: One replica does not keep the target, however little comes; or there would be far too
        many.
    """
    target = wanted.target
    knee = steady.knee(target.percent, target.seconds)
    if knee <= 0:
        alone = steady.station.seconds[0] + steady.station.overhead
        raise NotKeptError(
            f"p{target.percent:g} at most {target.seconds * 1e3:g} ms: a replica keeps it at no rate; a "
            f"request that is alone takes {alone * 1e3:.1f} ms"
        )
    peak = traffic.peak
    replicas = max(1, math.ceil(peak * (1 + wanted.headroom) / knee - 1e-9)) + wanted.spare
    if replicas > _MOST_REPLICAS:
        raise NotKeptError(
            f"{peak:g}/s: {replicas} replicas would be needed; allowed: at most {_MOST_REPLICAS}"
        )
    return Sizing(
        knee,
        replicas,
        replicas * knee / peak - 1 if peak else math.inf,
        (replicas - 1) * knee / peak - 1 if peak else math.inf,
    )


def candidates(case: Case, sizing: Sizing, scaling: Scaling) -> list[tuple[str, Scaling]]:
    """Targets that an autoscaler may hold, besides those that it has."""
    most = max(scaling.most, sizing.replicas)
    found = [("as set", replace(scaling, most=most))] if scaling.targets else []
    for share in _OCCUPANCIES:
        level = case.steady.at(share * sizing.knee / case.steady.station.capacity)
        progress = (level.working + level.waiting) * case.curve.images_per_request
        places = max(0, 1 - math.floor(math.log10(max(progress, 1e-3))))
        targets = {IN_PROGRESS: round(progress, places)}
        found.append(
            (f"imagesInProgress {targets[IN_PROGRESS]:g}", replace(scaling, targets=targets, most=most))
        )
    return [(name, each) for name, each in found if all(target > 0 for target in each.targets.values())]


def search(case: Case, sizing: Sizing, scaling: Scaling, *, processes: int = 1) -> list[Run]:
    """For each target that may be held, the lowest minimum that is good enough; the cheapest first."""
    tasks = [(case, name, each, sizing.replicas) for name, each in candidates(case, sizing, scaling)]
    if processes == 1:
        found = [_fewest(*task) for task in tasks]
    else:
        # Not forked: gRPC, which the command has loaded, does not survive that.
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(_fewest, *zip(*tasks, strict=True)))
    return sorted((each for each in found if each is not None), key=lambda run: run.outcome.replica_seconds)


def _fewest(case: Case, name: str, scaling: Scaling, enough: int) -> Run | None:
    """By halving: what keeps the target with some does with more."""
    low, high, best = 0, max(enough, scaling.fewest), None
    while high - low > max(0, high // 20) or best is None:
        tried = high if best is None else (low + high) // 2
        if tried <= low:
            break
        run = case.run(name, replace(scaling, fewest=tried, most=max(scaling.most, tried)), give_up=True)
        if run.kept:
            high, best = tried, run
        elif best is None:
            return None
        else:
            low = tried
    return best


def helm_values(scaling: Scaling) -> Iterator[str]:
    """An autoscaler's settings as lines of the chart's values."""
    yield "gateway:"
    yield "  autoscaling:"
    yield f"    minReplicas: {scaling.fewest}"
    yield f"    maxReplicas: {scaling.most}"
    yield f"    workWaitingSeconds: {scaling.targets.get(WORK_WAITING, 0):g}"
    yield f"    imagesInProgress: {scaling.targets.get(IN_PROGRESS, 0):g}"
    if CPU in scaling.targets:
        yield f"    # CPU: {scaling.targets[CPU]:g} cores per replica"
    yield f"    scaleDown: {{stabilizationSeconds: {scaling.down_window:g}}}"


def plain_fleet(case: Case, sizing: Sizing) -> Run:
    """The fleet of a fixed size under the traffic."""
    return case.run("fixed", fixed(sizing.replicas))
