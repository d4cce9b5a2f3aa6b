"""Confidence intervals for percentiles of latencies, by resampling. Pure functions.

Latencies near one another in time resemble one another, so that single requests must not be drawn: drawn are
blocks of time, and above them whole repeats, because what differs from one run to the next is in no single
run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation, and the degrees of freedom with which it is known."""

    deviation: float
    degrees: int

    @classmethod
    def pooled(cls, groups: Sequence[NDArray[np.float64]]) -> Spread:
        """Of several groups of values, each about a mean of its own."""
        degrees = sum(group.size - 1 for group in groups)
        squares = sum(float(np.sum((group - group.mean()) ** 2)) for group in groups)
        return cls(math.sqrt(squares / degrees) if degrees > 0 else 0.0, degrees)


@dataclass(frozen=True, eq=False)
class Blocks:
    """How often each duration was there in each block of a run.

    Attributes:
        values: Durations in seconds, ascending, float64 `[K]`.
        counts: Float64 `[B, K]`.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, blocks: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> Blocks:
        """From the durations, ascending, and the counts of each block; blocks without any are left out."""
        filled = [(values, counts) for values, counts in blocks if values.size]
        every = [values for values, _ in filled]
        grid = np.unique(np.concatenate(every)) if every else np.zeros(0)
        table = np.zeros((len(filled), grid.size))
        for row, (values, counts) in enumerate(filled):
            table[row, np.searchsorted(grid, values)] = counts
        return cls(grid, table)

    def percentile(self, percent: float, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The nearest-rank percentile of all blocks, `[]`, or for each row of weights `[R, B]`, `[R]`."""
        cumulative = self._cumulative.sum(axis=0) if weights is None else weights @ self._cumulative
        rank = np.ceil(cumulative[..., -1:] * percent / 100)
        found: NDArray[np.float64] = self.values[np.argmax(cumulative >= np.maximum(rank, 1), axis=-1)]
        return found

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        """How often each duration or a shorter one was there in each block, `[B, K]`."""
        return np.cumsum(self.counts, axis=1)

    def draws(self, percent: float, number: int, random: np.random.Generator) -> NDArray[np.float64]:
        """The percentile of resampled blocks, `[number]`."""
        blocks = self.counts.shape[0]
        weights = random.multinomial(blocks, np.full(blocks, 1 / blocks), size=number).astype(np.float64)
        return self.percentile(percent, weights)


def paired_interval(
    estimates: NDArray[np.float64],
    draws: NDArray[np.float64],
    *,
    confidence: float,
    random: np.random.Generator,
    usual: Spread | None = None,
) -> Interval:
    """The mean over pairs of repeats, and its interval.

    Pairs are drawn, and within each what was drawn of its blocks. The spread of a mean of few pairs is known
    badly: Student's quantile makes up for that, so that two pairs tell little and five a good deal. With one
    pair the interval is the blocks' alone: what differs from run to run is not in it.

    Args:
        estimates: What each pair says, `[N]`.
        draws: The same of its blocks, resampled, `[N, R]`.
        confidence: For example 0.95.
        random: Source of the drawing.
        usual: How much pairs differ from one another under all loads together: the spread of few pairs may
            by accident be small, and is not taken for less than that; in return it is known better.
    """
    pairs, number = draws.shape
    estimate = float(estimates.mean())
    tail = (1 - confidence) / 2
    if pairs == 1:
        low, high = np.quantile(draws[0], (tail, 1 - tail))
        return Interval(estimate, min(float(low), estimate), max(float(high), estimate))
    chosen = random.integers(pairs, size=(number, pairs))
    resample = random.integers(number, size=(number, pairs))
    # Between the pairs what they say, within them how far what their blocks say lies from that: taken both at
    # full size, the noise within a run would be counted twice.
    between = estimates[chosen].mean(axis=1)
    spread_between = float(between.std()) * math.sqrt(pairs / (pairs - 1))
    within = (draws[chosen, resample] - estimates[chosen]).mean(axis=1)
    usual = usual or Spread(0.0, pairs - 1)
    spread = max(spread_between, float(within.std()), usual.deviation / math.sqrt(pairs))
    width = student_quantile(1 - tail, max(usual.degrees, pairs - 1)) * spread
    return Interval(estimate, estimate - width, estimate + width)


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's distribution, for a probability of more than one half."""
    # The density integrated with the substitution t = sqrt(n) tan(x), which makes it cos(x)^(n - 1): smooth,
    # on a finite interval.
    x = np.linspace(0.0, math.pi / 2, 200_001)
    density = np.cos(x) ** (degrees - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative /= 2 * cumulative[-1]
    return math.sqrt(degrees) * math.tan(float(np.interp(probability - 0.5, cumulative, x)))
