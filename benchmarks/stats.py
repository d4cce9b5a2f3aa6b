"""Summaries of measured durations. Pure functions on numbers."""

from __future__ import annotations

from collections.abc import Iterable
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
