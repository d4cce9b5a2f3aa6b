"""What came of a simulated fleet, and how it is tallied minute by minute."""

from __future__ import annotations

from dataclasses import dataclass, field

from maskweave_bench.capacity.station import Floats
from maskweave_bench.capacity.steady import empty_bins, percentile_of, slower_than

MINUTE = 60.0
"""Seconds of the stretches for which it is said whether the target was kept."""


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be kept.

    Attributes:
        seconds: The percentile may be so long at most.
        percent: The percentile.
    """

    seconds: float
    percent: float = 99.0

    @property
    def allowed(self) -> float:
        """Share of requests that may be slower, or fail."""
        return 1 - self.percent / 100


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of a simulation.

    Attributes:
        begin: Seconds from its begin.
        rate: Requests a second.
        replicas: Replicas that were paid for, on average.
        ready: Replicas that took requests, on average.
        p50: Seconds; None without any request.
        p99: The same.
        bad: Share of requests that were slower than the target, or refused.
        outside: Whether the target was not kept.
    """

    begin: float
    rate: float
    replicas: float
    ready: float
    p50: float | None
    p99: float | None
    bad: float
    outside: bool


@dataclass(frozen=True)
class Outcome:
    """What came of a simulation.

    Attributes:
        seconds: How long it lasted.
        complete: Whether that is the whole traffic; one that is hopeless, or overloaded for long, ends early.
        requests: How many came.
        refused: How many of them were refused.
        slow: How many of the others were slower than the target.
        replica_seconds: What was paid for.
        most: Most replicas at once.
        minutes: Minute by minute.
        bins: All latencies.
    """

    seconds: float
    complete: bool
    requests: float
    refused: float
    slow: float
    replica_seconds: float
    most: int
    minutes: list[Minute]
    bins: Floats = field(repr=False)

    @property
    def outside(self) -> float:
        """Share of the time in which the target was not kept."""
        return sum(minute.outside for minute in self.minutes) / max(len(self.minutes), 1)

    def percentile(self, percent: float) -> float:
        """Of all requests that were answered."""
        return percentile_of(self.bins, percent)


class Tally:
    """Counts what happens.

    Args:
        target: What has to be kept.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._bins, self._all = empty_bins(), empty_bins()
        self._refused = self._paid = self._taking = 0.0
        self._requests = self._all_refused = self._slow = self._replica_seconds = 0.0
        self.minutes: list[Minute] = []

    @property
    def outside(self) -> int:
        """Minutes in which the target was not kept."""
        return sum(minute.outside for minute in self.minutes)

    def answered(self, bins: Floats) -> None:
        """Requests were answered, with these latencies."""
        self._bins += bins

    def refused(self, number: float) -> None:
        """Requests were refused."""
        self._refused += number

    def replicas(self, paid: int, taking: int, seconds: float) -> None:
        """For some seconds, replicas were paid for and took requests."""
        self._paid += paid * seconds
        self._taking += taking * seconds

    def end_minute(self, now: float) -> None:
        """A minute is over."""
        bins, refused = self._bins, self._refused
        answered = float(bins.sum())
        slow = slower_than(bins, self._target.seconds)
        number = answered + refused
        begin = self.minutes[-1].begin + MINUTE if self.minutes else 0.0
        length = max(now - begin, 1e-9)
        self.minutes.append(
            Minute(
                begin,
                number / length,
                self._paid / length,
                self._taking / length,
                percentile_of(bins, 50) if answered else None,
                percentile_of(bins, 99) if answered else None,
                (slow + refused) / number if number else 0.0,
                (slow + refused) > self._target.allowed * number,
            )
        )
        self._all += bins
        self._requests += number
        self._all_refused += refused
        self._slow += slow
        self._replica_seconds += self._paid
        self._bins, self._refused = empty_bins(), 0.0
        self._paid = self._taking = 0.0

    def outcome(self, seconds: float, most: int, *, complete: bool) -> Outcome:
        """All of it.

        Args:
            seconds: How long it lasted.
            complete: Whether that is the whole traffic.
            most: Most replicas at once.
        """
        return Outcome(
            seconds,
            complete,
            self._requests,
            self._all_refused,
            self._slow,
            self._replica_seconds,
            most,
            self.minutes,
            self._all,
        )
