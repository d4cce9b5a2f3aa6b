"""From measurements to the queue of one replica, and how well it says again what was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskweave_bench.capacity.station import Floats, Station, run, run_closed
from maskweave_bench.histogram import Histogram, enough
from maskweave_bench.metrics_page import SERVER_CPU
from maskweave_bench.record import Load, Trial
from maskweave_bench.results import Results
from maskweave_bench.stages import NETWORK

_QUANTILES = 512
_MOST_SERVERS = 64
_QUICKLY, _THOROUGHLY = 3000, 10_000
_PERCENTS = (50.0, 90.0, 99.0)
# Peaks that are tried, as shares of the highest rate that was answered.
_PEAKS = (0.97, 1.0, 1.03, 1.06)
# A shape that was measured with a queue has the waiting in it.
_MOST_LOADED = 0.35


class CurveError(ValueError):
    """A file of results does not say how a replica behaves under load."""


@dataclass(frozen=True, slots=True)
class Check:
    """The model beside a load that was measured; latencies in seconds.

    Attributes:
        load: Name of the load.
        percent: The percentile.
        measured: What was measured.
        modelled: What the model says.
    """

    load: str
    percent: float
    measured: float
    modelled: float

    @property
    def error(self) -> float:
        """By what share the model is above the measurement."""
        return self.modelled / self.measured - 1


@dataclass(frozen=True, eq=False)
class Curve:
    """A replica, as it was measured or stated.

    Attributes:
        name: For the report.
        station: Its queue.
        checks: The model beside the open loops that were measured; empty of a stated one.
        images_per_request: Images in each request.
        cpu_per_request: Seconds of CPU of each; None when no metrics were read.
        warnings: What a reader should know.
    """

    name: str
    station: Station
    checks: tuple[Check, ...] = ()
    images_per_request: float = 1.0
    cpu_per_request: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Measured:
    """All trials of a load."""

    load: Load
    trials: list[Trial]
    latency: Histogram

    @property
    def per_second(self) -> float:
        return float(np.mean([trial.per_second for trial in self.trials]))


def fit(results: Results, target: str | None = None, *, patience: float = 10.0, seed: int = 0) -> Curve:
    """The replica that a target is.

    Closed loops say how fast requests are worked on side by side, the one that is alone how long one takes
    and how
    that varies, and open loops how many are worked on at once: the number is taken with which the model comes
    closest to their percentiles.

    Args:
        results: What was measured: what `maskweave-bench run` measures without further options is enough.
        target: Name of the target; None for the only one.
        patience: Seconds that a request waits at most.
        seed: Of the simulations.

    Raises:
        CurveError: There are too few loads, or there is no such target.
    """
    names = [each.name for each in results.targets]
    if target is None and len(names) != 1:
        raise CurveError(f"target: the results have {', '.join(names)}; say which with --curve-target")
    name = target or names[0]
    if name not in names:
        raise CurveError(f"target: got {name!r}; the results have {', '.join(names)}")
    loads = _measured([trial for trial in results.trials if trial.target == name and trial.counts])
    closed = sorted(
        (each for each in loads if not each.load.is_open), key=lambda each: each.load.clients or 0
    )
    opened = sorted((each for each in loads if each.load.is_open), key=lambda each: each.load.rate or 0.0)
    if not closed and len(opened) < 2:
        raise CurveError(
            f"{name}: there are {len(loads)} loads in which the client was not the limit; needed: "
            "a closed loop, or open loops at two rates"
        )
    peak = max(each.per_second for each in loads)
    lightest = closed[0] if closed else opened[0]
    warnings = []
    if closed and closed[0].load.clients != 1:
        warnings.append(
            "There is no closed loop of one client: the time of a request that is alone is taken from "
            f"{closed[0].load.name}."
        )
    elif not closed and lightest.per_second > _MOST_LOADED * peak:
        warnings.append(
            f"The lightest load, {lightest.load.name}, is {lightest.per_second / peak:.0%} of the highest: "
            "waiting is taken for work. Measure a closed loop of one client too."
        )
    overhead = _overhead(lightest)
    steady = [each for each in opened if _steady(each) and each.per_second < 0.99 * peak]
    best, checks = _best(closed, steady, lightest, peak, overhead, patience, seed)
    if not steady:
        warnings.append("No open loop was measured: how many requests are worked on at once is a guess.")
    worst = max((abs(check.error) for check in checks), default=0.0)
    if worst > 0.15:
        warnings.append(f"The model is off by up to {worst:.0%}: see the table of model and measurement.")
    return Curve(
        name,
        best,
        tuple(checks),
        _images(lightest),
        _cpu(loads),
        tuple(warnings),
    )


def _measured(trials: Sequence[Trial]) -> list[_Measured]:
    kinds = {"closed", "poisson", "constant"}
    found = []
    for load in dict.fromkeys(trial.load for trial in trials if trial.load.kind in kinds):
        alike = [trial for trial in trials if trial.load == load]
        latency = Histogram.merged(Histogram.decode(trial.latency) for trial in alike)
        if len(latency):
            found.append(_Measured(load, alike, latency))
    return found


def _steady(measured: _Measured) -> bool:
    failed = sum(trial.failed for trial in measured.trials)
    requests = sum(trial.requests for trial in measured.trials)
    rising = sum(trial.state == "rising" for trial in measured.trials)
    return failed <= 0.01 * requests and rising * 2 <= len(measured.trials)


def _overhead(lightest: _Measured) -> float:
    """Seconds that the network and the client take, where the replies tell."""
    told = [part.p50 for trial in lightest.trials for part in trial.parts if part.name == NETWORK]
    return min(float(np.mean(told)), 0.5 * lightest.latency.percentile(1)) if told else 0.0


def _images(lightest: _Measured) -> float:
    answered = sum(trial.per_second for trial in lightest.trials)
    return sum(trial.images_per_second for trial in lightest.trials) / answered if answered else 1.0


def _cpu(loads: Sequence[_Measured]) -> float | None:
    """Seconds of the service's CPU for each request, under the heaviest load that has them."""
    for each in sorted(loads, key=lambda each: -each.per_second):
        used = [trial.metrics.get(SERVER_CPU) for trial in each.trials]
        known = [seconds for seconds in used if seconds is not None]
        if known and len(known) == len(used):
            return sum(known) / sum(trial.per_second * trial.load.seconds for trial in each.trials)
    return None


def _best(
    closed: Sequence[_Measured],
    opened: Sequence[_Measured],
    lightest: _Measured,
    peak: float,
    overhead: float,
    patience: float,
    seed: int,
) -> tuple[Station, list[Check]]:
    alone = max(lightest.latency.mean - overhead, 1e-6)
    lone_shape = _shape(lightest, overhead)
    fewest = max(1, math.ceil(0.85 * peak * alone))
    if not opened:
        # Where more clients bring no more.
        enough_clients = [each.load.clients or 1 for each in closed if each.per_second >= 0.95 * peak]
        servers = max(fewest, min(enough_clients, default=1))
        station = Station(_seconds(servers, peak, alone, closed, overhead), lone_shape, overhead, patience)
        return station, []
    # Where more clients brought no more, their rate is the peak; open loops near it are too noisy for that.
    saturated = len(closed) > 1 and closed[-1].per_second < 1.1 * closed[-2].per_second
    peaks = (1.0,) if saturated else _PEAKS
    counts = {*range(fewest, fewest + 5), 2 * fewest, 3 * fewest, 4 * fewest, 8 * fewest}
    loads = [*opened, *(each for each in closed if (each.load.clients or 1) > 1)]
    found: list[tuple[float, Station]] = []
    for servers, factor in itertools.product(sorted(n for n in counts if n <= _MOST_SERVERS), peaks):
        seconds = _seconds(servers, peak * factor, alone, closed, overhead)
        for shape in _shapes(servers, closed, lone_shape, overhead):
            station = Station(seconds, shape, overhead, patience)
            errors = [check.error for load in loads for check in _check(station, load, seed, _QUICKLY)]
            found.append((float(np.mean(np.log1p(errors) ** 2)), station))
    station = min(found, key=lambda each: each[0])[1]
    return station, [check for load in opened for check in _check(station, load, seed + 1, _THOROUGHLY)]


def _seconds(servers: int, peak: float, alone: float, closed: Sequence[_Measured], overhead: float) -> Floats:
    """Mean time on a server by the number of requests that are worked on, `[servers]`."""
    known = {1: min(alone, 1 / peak) if servers == 1 else alone, servers: servers / peak}
    for each in closed:
        clients = each.load.clients or 1
        if 1 < clients < servers:
            known[clients] = clients / each.per_second - overhead
    places = sorted(known)
    seconds: Floats = np.interp(np.arange(1, servers + 1), places, [known[place] for place in places])
    seconds = np.minimum(np.maximum.accumulate(seconds), servers / peak)
    seconds[-1] = servers / peak
    return seconds


def _shapes(servers: int, closed: Sequence[_Measured], lone: Floats, overhead: float) -> list[Floats]:
    """Shapes to try: of a request that is alone, and of as many as there are servers."""
    together = [each for each in closed if 1 < (each.load.clients or 1) <= servers]
    return [lone, _shape(together[-1], overhead)] if together else [lone]


def _shape(measured: _Measured, overhead: float) -> Floats:
    percents = ((np.arange(_QUANTILES) + 0.5) / _QUANTILES * 100).tolist()
    values = np.maximum(np.array(measured.latency.percentiles(percents)) - overhead, 1e-6)
    shape: Floats = values / values.mean()
    return shape


def _check(station: Station, measured: _Measured, seed: int, requests: int) -> list[Check]:
    """The model under a load as it was measured: open loops as long, begun empty, less their warming up."""
    random = np.random.default_rng(seed)
    if not measured.load.is_open:
        clients = measured.load.clients or 1
        modelled = run_closed(station, clients, clients + requests // 2, random)[clients:]
    else:
        modelled = _open(station, measured, random, requests)
    return [
        Check(
            measured.load.name,
            percent,
            measured.latency.percentile(percent),
            float(np.percentile(modelled, percent, method="inverted_cdf")),
        )
        for percent in _PERCENTS
        if enough(percent, len(measured.latency))
    ]


def _open(station: Station, measured: _Measured, random: np.random.Generator, requests: int) -> Floats:
    rate, seconds = measured.load.rate or 0.0, measured.load.seconds
    begin = float(np.mean([trial.measured_from for trial in measured.trials]))
    kept: list[Floats] = []
    while sum(each.size for each in kept) < requests:
        if measured.load.kind == "constant":
            arrivals = np.arange(max(1, round(rate * seconds))) / rate
        else:
            arrivals = np.sort(random.uniform(0, seconds, max(1, int(random.poisson(rate * seconds)))))
        latency = run(station, arrivals, random)
        kept.append(latency[(arrivals >= begin) & (latency >= 0)])
    return np.concatenate(kept)
