"""Where warming up ends, and whether what comes after is steady. Pure functions.

The cut is the one of White's rule MSER (K. P. White, "An effective truncation heuristic for bias reduction in
simulation output", Simulation 69, 1997): of all places to cut a series at, the one after which the mean is
known best. Whether the rest drifts is asked with the test of Mann and Kendall, which assumes no distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.samples import Samples

_BINS = 40
_FEWEST_BINS = 10
_SIGNIFICANCE = 0.01
_DRIFT = 0.25
_WARM = 0.1

State = Literal["steady", "rising", "falling", "unsettled", "too short to tell"]


@dataclass(frozen=True, slots=True)
class Steady:
    """What the course of a load looks like.

    Attributes:
        begin: Seconds from the begin of the load at which warming up is over.
        state: What comes after: `steady`; `rising` or `falling`, if the median drifts by more than a quarter
            and that is no accident; `unsettled`, if there is no place in the first half after which it has
            settled.
        drift: By which factor the median of the last third differs from that of the first, after `begin`.
    """

    begin: float
    state: State
    drift: float


def find_steady(samples: Samples, seconds: float, *, warmup_seconds: float) -> Steady:
    """Find where warming up ends.

    Args:
        samples: Of the whole load.
        seconds: Its duration.
        warmup_seconds: What is left out in any case.
    """
    answered = samples.where(samples.ok)
    width = seconds / _BINS
    index = np.minimum((answered.due / width).astype(np.int64), _BINS - 1)
    # Medians: a stall is to be seen in the result, not to be taken for the service's warming up.
    starts, medians = [], []
    for number in range(_BINS):
        chosen = answered.latency[index == number]
        if chosen.size and (number + 1) * width > warmup_seconds:
            starts.append(max(number * width, warmup_seconds))
            medians.append(float(np.median(chosen)))
    if len(medians) < _FEWEST_BINS:
        return Steady(warmup_seconds, "too short to tell", 1.0)
    values = np.array(medians)
    cut = mser_cut(values)
    # What hardly differs from the rest need not go, and then nothing that failed in it goes either.
    if cut and abs(_change(values[:cut], values[cut:])) <= _WARM:
        cut = 0
    if cut and cut >= values.size // 2:
        return Steady(warmup_seconds, "unsettled", _drift(values))
    rest = values[cut:]
    drift = _drift(rest)
    significant = mann_kendall(rest) < _SIGNIFICANCE
    state: State = "steady"
    if significant and drift > 1 + _DRIFT:
        state = "rising"
    elif significant and drift < 1 / (1 + _DRIFT):
        state = "falling"
    return Steady(starts[cut] if cut else warmup_seconds, state, drift)


def mser_cut(values: NDArray[np.float64]) -> int:
    """How many values to leave out at the begin of a series, half of it at most.

    Args:
        values: Float64 `[N]`.
    """
    scores = [
        float(np.sum((values[cut:] - values[cut:].mean()) ** 2)) / (values.size - cut) ** 2
        for cut in range(values.size // 2 + 1)
    ]
    return int(np.argmin(scores))


def mann_kendall(values: NDArray[np.float64]) -> float:
    """How likely a series without a trend would look as much like one, two-sided, in [0, 1].

    Args:
        values: Float64 `[N]`.
    """
    size = values.size
    if size < 4:
        return 1.0
    score = float(np.sum(np.sign(values[None, :] - values[:, None])[np.triu_indices(size, 1)]))
    _, ties = np.unique(values, return_counts=True)
    variance = (size * (size - 1) * (2 * size + 5) - float(np.sum(ties * (ties - 1) * (2 * ties + 5)))) / 18
    if variance <= 0 or score == 0:
        return 1.0
    z = (abs(score) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def _change(first: NDArray[np.float64], rest: NDArray[np.float64]) -> float:
    level = float(np.median(rest))
    return float(first.mean()) / level - 1 if level > 0 else 0.0


def _drift(values: NDArray[np.float64]) -> float:
    third = max(1, values.size // 3)
    first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
    return last / first if first > 0 else 1.0
