"""Summaries of measured durations. Pure functions on numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Summary:
    """What a set of durations looks like, in seconds.

    Percentiles are nearest-rank: each is a duration that was measured, so that p99 of a few samples is not a
    number invented between two of them.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


def summarize(durations: Iterable[float]) -> Summary:
    """Summarize durations in seconds.

    Args:
        durations: At least one duration, in any order.

    Raises:
        ValueError: When there is none, or one is negative or not finite.
    """
    values = np.fromiter(durations, np.float64)
    if values.size == 0:
        raise ValueError("there are no durations to summarize")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("durations must be finite and not negative")
    p50, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99), method="inverted_cdf"))
    return Summary(values.size, float(values.mean()), p50, p90, p99, float(values.max()))


@dataclass(frozen=True, slots=True)
class Load:
    """How much work a closed loop with some number of clients got done."""

    clients: int
    requests_per_second: float


def saturation(loads: Sequence[Load], *, worthwhile_gain: float = 0.05) -> Load:
    """The least load at which the service is saturated.

    That is the first one, by number of clients, after which no larger number of clients adds more than
    `worthwhile_gain` (a fraction) to the throughput.

    Raises:
        ValueError: When `loads` is empty.
    """
    if not loads:
        raise ValueError("there are no loads to compare")
    ordered = sorted(loads, key=lambda load: load.clients)
    best = max(load.requests_per_second for load in ordered)
    return next(load for load in ordered if load.requests_per_second * (1 + worthwhile_gain) >= best)
