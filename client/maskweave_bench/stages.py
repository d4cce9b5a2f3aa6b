"""Where the time of requests went, as parts that are stacked. Pure functions.

The parts come from the replies' `Timings`; what is left of a request beyond the service's own `total` is the
network's and the client's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskweave_bench.samples import Samples

TOTAL = "total"
LAG = "sent late"
NETWORK = "network and client"
OTHER = "rest of the service"
STAGE_QUEUE = "waiting for an executor"
STAGE = "stage "
"""Prefix of the parts that are stages' computing."""

_FIRST = (LAG, NETWORK, "queue", "admission", "decode", STAGE_QUEUE)
_LAST = ("encode", OTHER)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the mean latency.

    Attributes:
        name: What it was spent on.
        mean: Seconds, over all requests that have timings.
        p50: Seconds.
        p99: Seconds.
    """

    name: str
    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time went.

    Attributes:
        parts: In the order of their coming.
        overlap: Seconds, on average, by which the service's parts add up to more than its total, because they
            ran side by side.
        requests: How many requests have timings.
    """

    parts: list[Part]
    overlap: float
    requests: int


def break_down(samples: Samples) -> Breakdown:
    """Where the time of answered requests with timings went."""
    total = samples.parts.get(TOTAL)
    if total is None:
        return Breakdown([], 0.0, 0)
    timed = samples.where(samples.ok & np.isfinite(total))
    if not len(timed):
        return Breakdown([], 0.0, 0)
    seconds = {
        name: np.nan_to_num(values.astype(np.float64))
        for name, values in timed.parts.items()
        if name != TOTAL
    }
    whole = timed.parts[TOTAL].astype(np.float64)
    left = whole - sum(seconds.values(), np.zeros(len(timed)))
    seconds[OTHER] = np.maximum(left, 0.0)
    seconds[LAG] = np.maximum(timed.lag, 0.0)
    seconds[NETWORK] = np.maximum(timed.service_time - whole, 0.0)
    stages = [name for name in seconds if name.startswith(STAGE)]
    names = [name for name in (*_FIRST, *stages, *_LAST) if name in seconds]
    parts = [
        Part(name, float(values.mean()), *(float(each) for each in np.percentile(values, (50, 99))))
        for name, values in ((name, seconds[name]) for name in names)
    ]
    return Breakdown(parts, float(np.maximum(-left, 0.0).mean()), len(timed))
