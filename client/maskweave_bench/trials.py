"""The order of trials, and one trial from its load to its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskweave_bench.histogram import Histogram
from maskweave_bench.knee import KneeSearch, KneeTarget, KneeTrial
from maskweave_bench.loops import Bounds
from maskweave_bench.metrics_page import (
    SERVER_CPU,
    MetricsPage,
    MetricsPageError,
    between,
    fetch,
    means,
    server_cpu_seconds,
)
from maskweave_bench.processes import ClientProcesses, Job, Progress
from maskweave_bench.record import Load, Trial
from maskweave_bench.requests import Mix
from maskweave_bench.results import KneeResult
from maskweave_bench.schedule import Times, constant, poisson, ramp, read_trace, replay
from maskweave_bench.summary import summarize
from maskweave_bench.target import Target
from maskweave_bench.triton_statistics import triton_means

_SEEDS_OF_A_TRIAL = 2_000_003
"""Seeds of two trials lie so far apart, so that what one asked is not in a cache for the next."""


class PlanError(ValueError):
    """What is asked for is more than the bounds allow."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A trial that is still to be run."""

    target: int
    load: Load
    repeat: int


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for all trials.

    Attributes:
        warmup_seconds: Left out at the begin of each, in any case.
        bounds: What the clients do not go beyond.
        max_requests: Of one trial.
        seed: Of the benchmark: decides arrivals by chance.
        first_seed: Of the requests.
        lag_tolerance: As for `summary.client_limits`.
    """

    warmup_seconds: float
    bounds: Bounds
    max_requests: int
    seed: int
    first_seed: int
    lag_tolerance: float | None = None


def turns(targets: int, loads: Sequence[Load], repeats: int) -> list[Turn]:
    """All trials in their order: targets take turns within a load, and loads within a repeat.

    What disturbs a machine for a while then disturbs all of them, and not one. Every other repeat goes
    through the targets backwards, so that none is always the first.
    """
    order = list(range(targets))
    return [
        Turn(target, load, repeat)
        for repeat in range(repeats)
        for load in loads
        for target in (order if repeat % 2 == 0 else order[::-1])
    ]


def due_times(load: Load, random: np.random.Generator, trace: Times | None = None) -> Times | None:
    """When the requests of a load are due; None for a closed loop.

    Args:
        load: The load.
        random: Of arrivals by chance.
        trace: Of a trace, its times.
    """
    if load.kind == "closed":
        return None
    if load.kind == "trace":
        assert trace is not None
        return trace
    if load.kind == "ramp":
        assert load.first_rate is not None
        assert load.last_rate is not None
        return ramp(load.first_rate, load.last_rate, load.seconds)
    assert load.rate is not None
    if load.kind == "poisson":
        return poisson(load.rate, load.seconds, random)
    return constant(load.rate, load.seconds)


def trace_load(path: Path, *, speed: float, seconds: float | None) -> tuple[Load, Times]:
    """The load of a trace file, and its times.

    Raises:
        TraceError: It cannot be read.
        ValueError: It has nothing to replay.
    """
    times = replay(read_trace(path), speed=speed, seconds=seconds)
    if times.size < 2 or times[-1] <= 0:
        raise ValueError(f"trace {path}: got fewer than two times that differ; that is nothing to replay")
    duration = float(times[-1]) + 1e-6
    return Load(kind="trace", trace=path.name, rate=times.size / duration, seconds=duration), times


class Bench:
    """Runs trials.

    Args:
        targets: What is measured.
        mixes: What each is asked.
        processes: Who asks.
        options: What holds for all trials.
        trace: Times of a trace, if one is replayed.
        tell: Is told how a trial goes on.
        note: Is told what a reader should know.
        begin: Is told which trial begins: target, load and repeat.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        mixes: Sequence[Mix],
        processes: ClientProcesses,
        options: Options,
        *,
        trace: Times | None = None,
        tell: Callable[[Progress], object] = lambda _: None,
        note: Callable[[str], object] = lambda _: None,
        begin: Callable[[str, Load, int], object] = lambda target, load, repeat: None,
    ) -> None:
        self._targets = targets
        self._mixes = mixes
        self._processes = processes
        self._options = options
        self._trace = trace
        self._tell = tell
        self._note = note
        self._begin = begin
        self._number = 0

    def trial(self, turn: Turn) -> Trial:
        """Run a trial.

        Raises:
            PlanError: It would have more requests than allowed.
            ConnectError: The target cannot be reached.
            ClientProcessError: A client process failed.
        """
        target, load, options = self._targets[turn.target], turn.load, self._options
        # The same for all targets: what is compared was asked at the same times.
        chance = np.random.default_rng([options.seed, turn.repeat, round((load.rate or 0) * 1e3)])
        times = due_times(load, chance, self._trace)
        if times is not None and times.size > options.max_requests:
            raise PlanError(
                f"{load.name} for {load.seconds:g} s are {times.size} requests; allowed: --max-requests "
                f"{options.max_requests}"
            )
        self._number += 1
        job = Job(
            target=target,
            mix=self._mixes[turn.target],
            first_seed=(options.first_seed + self._number * _SEEDS_OF_A_TRIAL) % 2**32,
            seconds=load.seconds,
            times=times,
            clients=load.clients or 0,
            bounds=options.bounds,
            max_requests=options.max_requests,
        )
        self._begin(target.name, load, turn.repeat)
        before = self._look(target)
        outcome = self._processes.run(job, self._tell)
        after = self._look(target)
        grown = between(before, after) if before and after else {}
        cpu = server_cpu_seconds(grown)
        return summarize(
            outcome.samples,
            target=target.name,
            load=load,
            repeat=turn.repeat,
            started=outcome.started,
            warmup_seconds=options.warmup_seconds,
            kinds=[each.name for each in self._mixes[turn.target].prepared],
            processes=len(outcome.use),
            cpu=float(np.mean([use.cpu for use in outcome.use])),
            loop_busy=max(use.loop_busy for use in outcome.use),
            lag_tolerance=options.lag_tolerance,
            metrics={**means(grown), **triton_means(grown), **({SERVER_CPU: cpu} if cpu is not None else {})},
        )

    def knee(
        self,
        target: int,
        wanted: KneeTarget,
        *,
        first_rate: float,
        seconds: float,
        repeats: int,
        resolution: float,
        max_trials: int,
    ) -> Iterator[Trial | KneeResult]:
        """Search for a target's knee: the trials as they are run, and last what was found."""
        search = KneeSearch(
            wanted,
            first_rate,
            repeats=repeats,
            resolution=resolution,
            max_trials=max_trials,
            highest_rate=self._options.max_requests / seconds / 1.2,
        )
        while (rate := search.next_rate()) is not None:
            load = Load(kind="poisson", rate=rate, seconds=seconds)
            trial = self.trial(Turn(target, load, len(search.trials.get(rate, []))))
            yield trial
            search.tell(rate, knee_trial(trial, wanted.percent))
        knee = search.result()
        high = knee.interval.high
        yield KneeResult(
            target=self._targets[target].name,
            percent=wanted.percent,
            seconds=wanted.seconds,
            errors=wanted.errors,
            rate=knee.rate,
            low=knee.interval.low,
            high=high if np.isfinite(high) else None,
            end=knee.end,
        )

    def _look(self, target: Target) -> MetricsPage | None:
        if not target.metrics_urls:
            return None
        try:
            return fetch(target.metrics_urls)
        except MetricsPageError as error:
            self._note(str(error))
            return None


def knee_trial(trial: Trial, percent: float) -> KneeTrial:
    """What a search for the knee has to know of a trial."""
    latency = Histogram.decode(trial.latency).percentile(percent)
    return KneeTrial(
        latency=latency if np.isfinite(latency) else float("inf"),
        requests=sum(block.requests for block in trial.blocks),
        failed=trial.failed,
        counts=trial.counts,
        settled=trial.state not in {"rising", "unsettled"},
    )


def peak_rate(trials: Sequence[Trial]) -> float:
    """The highest rate at which closed loops were answered, of the target that has the lowest."""
    best: dict[str, float] = {}
    for trial in trials:
        best[trial.target] = max(best.get(trial.target, 0.0), trial.per_second)
    return min(best.values(), default=0.0)
