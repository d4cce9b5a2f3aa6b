"""What a soak comes to: rows of figures over time, and whether they are as they should be. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.stats import summarize

MOST_GROWTH = 0.05
"""Fraction by which memory may grow after the warm-up."""

_PARTS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One interval of the soak.

    Attributes:
        at_seconds: Its end, from the start of the load.
        outcomes: How often each kind of request ended with each code.
        memory_bytes: Resident memory of the gateway at its end.
        descriptors: Open file descriptors of the gateway at its end.
        tasks: Tasks of its event loop at its end.
        durations: Of the good requests for one image, in seconds.
    """

    at_seconds: float
    outcomes: Mapping[tuple[str, str], int]
    memory_bytes: int
    descriptors: int
    tasks: int
    durations: Sequence[float] = field(repr=False)

    @property
    def requests(self) -> int:
        """Requests that ended in it."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole soak.

    Attributes:
        requests: Requests that ended.
        outcomes: By kind of request and code.
        memory_start_bytes: Median of the second fifth of the rows; the first is the warm-up.
        memory_end_bytes: Median of the last fifth.
        memory_slope_mib_per_hour: Of a straight line through all rows after the warm-up.
        p99_first: Seconds, of the first fifth of the rows.
        p99_last: Of the last fifth.
        problems: What is not as it should be; nothing when all is well.
    """

    requests: int
    outcomes: Mapping[tuple[str, str], int]
    memory_start_bytes: int
    memory_end_bytes: int
    memory_slope_mib_per_hour: float
    p99_first: float
    p99_last: float
    problems: Sequence[str]


def judge(rows: Sequence[Row], allowed: Mapping[str, frozenset[str]]) -> Verdict:
    """Sum a soak up.

    Args:
        rows: At least five, in the order of time.
        allowed: The codes with which each kind of request may end.

    Raises:
        ValueError: There are fewer rows.
    """
    if len(rows) < _PARTS:
        raise ValueError(f"{len(rows)} rows are too few to compare the first fifth with the last")
    fifth = len(rows) // _PARTS
    steady = rows[fifth:]
    outcomes: Counter[tuple[str, str]] = Counter()
    for row in rows:
        outcomes.update(row.outcomes)
    start, end = _memory(steady[:fifth]), _memory(rows[-fifth:])
    problems = [
        f"{kind} ended {count} times with {code}"
        for (kind, code), count in sorted(outcomes.items())
        if code not in allowed.get(kind, ())
    ]
    if end > start * (1 + MOST_GROWTH):
        problems.append(f"memory grew by {end / start - 1:.1%} after the warm-up")
    hours = [row.at_seconds / 3600 for row in steady]
    slope = float(np.polyfit(hours, [row.memory_bytes / 2**20 for row in steady], 1)[0])
    return Verdict(
        requests=outcomes.total(),
        outcomes=outcomes,
        memory_start_bytes=start,
        memory_end_bytes=end,
        memory_slope_mib_per_hour=slope,
        p99_first=_p99(rows[:fifth]),
        p99_last=_p99(rows[-fifth:]),
        problems=problems,
    )


def _memory(rows: Sequence[Row]) -> int:
    return int(np.median([row.memory_bytes for row in rows]))


def _p99(rows: Sequence[Row]) -> float:
    return summarize(duration for row in rows for duration in row.durations).p99
