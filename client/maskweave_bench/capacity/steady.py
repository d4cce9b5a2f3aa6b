"""What one replica does at a rate that lasts: latencies, and what its metrics show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskweave_bench.capacity.station import Floats, Queue, Station

_WIDTH = 0.01
_LOWEST = 1e-4
_BINS = 1 + math.ceil(math.log(3600 / _LOWEST) / _WIDTH)
_EDGES = _LOWEST * np.exp(_WIDTH * np.arange(_BINS))

LEVELS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.88, 0.91, 0.94, 0.97)
"""Shares of a replica's capacity that are simulated."""


def bins_of(latencies: Floats) -> Floats:
    """How often each bin of latency is met, `[BINS]`; a bin is one percent wide."""
    index = np.ceil(np.log(np.maximum(latencies, _LOWEST) / _LOWEST) / _WIDTH - 1e-9).astype(np.int64)
    return np.bincount(np.clip(index, 0, _BINS - 1), minlength=_BINS).astype(np.float64)


def empty_bins() -> Floats:
    """Bins without anything in them."""
    return np.zeros(_BINS)


def percentile_of(bins: Floats, percent: float) -> float:
    """The latency that `percent` of 100 do not exceed, in seconds; NaN without any."""
    total = float(bins.sum())
    if total <= 0:
        return math.nan
    return float(_EDGES[np.searchsorted(np.cumsum(bins), percent / 100 * total * (1 - 1e-12))])


def slower_than(bins: Floats, seconds: float) -> float:
    """How many are slower."""
    return (
        float(bins[np.searchsorted(_EDGES, seconds * (1 + 1e-9), side="left") :].sum())
        if seconds > 0
        else 0.0
    )


@dataclass(frozen=True, eq=False)
class Level:
    """A share of the capacity that lasts.

    Attributes:
        share: The share.
        bins: Latencies, of one request, `[BINS]`.
        waiting: Requests that wait, on average.
        working: Requests that are worked on, on average.
    """

    share: float
    bins: Floats
    waiting: float
    working: float


@dataclass(frozen=True, eq=False)
class Steady:
    """A replica at several levels, with requests that come by chance.

    Attributes:
        station: The replica.
        seed: Of the simulation.
        requests: Simulated at each level; four times as many where the queue is long.
    """

    station: Station
    seed: int = 0
    requests: int = 20_000

    @cached_property
    def levels(self) -> Sequence[Level]:
        """All of `LEVELS`."""
        return [
            self._level(share, np.random.default_rng([self.seed, place]))
            for place, share in enumerate(LEVELS)
        ]

    def at(self, share: float) -> Level:
        """The level of a share of the capacity: between two, both in proportion."""
        place = int(np.clip(np.searchsorted(LEVELS, share), 1, len(LEVELS) - 1))
        below, above = self.levels[place - 1], self.levels[place]
        part = min(max((share - below.share) / (above.share - below.share), 0.0), 1.0)

        def between(one: float, other: float) -> float:
            return one + part * (other - one)

        return Level(
            share,
            (1 - part) * below.bins + part * above.bins,
            between(below.waiting, above.waiting),
            between(below.working, above.working),
        )

    def knee(self, percent: float, seconds: float) -> float:
        """The highest rate at which a percentile is at most so long; 0 when it is at none."""
        kept = 0.0
        for share in np.arange(0.02, LEVELS[-1] + 1e-9, 0.005).tolist():
            if percentile_of(self.at(share).bins, percent) > seconds:
                break
            kept = share
        return kept * self.station.capacity

    def _level(self, share: float, random: np.random.Generator) -> Level:
        station = self.station
        number = self.requests * (4 if share > 0.75 else 1)
        gaps = random.exponential(1 / (share * station.capacity), number)
        arrivals = np.cumsum(gaps)
        sizes = station.draws(number, random)
        queue = Queue(station)
        latencies = np.array(
            [queue.take(time, size) for time, size in zip(arrivals.tolist(), sizes.tolist(), strict=True)]
        )[number // 10 :]
        answered = latencies[latencies >= 0]
        bins = bins_of(answered) / max(answered.size, 1)
        rate = share * station.capacity
        # Little's law: what is in a part of the system is the rate times the time in that part.
        working = (
            rate * float(station.seconds.mean())
            if not answered.size
            else min(float(station.servers), rate * self._time_on_a_server(answered))
        )
        in_system = rate * (float(answered.mean()) - station.overhead) if answered.size else 0.0
        return Level(share, bins, max(0.0, in_system - working), working)

    def _time_on_a_server(self, answered: Floats) -> float:
        """Seconds on a server, on average; not longer than when all servers work."""
        return min(float(answered.mean()) - self.station.overhead, float(self.station.seconds[-1]))
