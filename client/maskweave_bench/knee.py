"""The knee: the highest rate at which a target for latency and errors is kept. Pure: it is told of trials.

The search doubles or halves the rate until it has one that keeps the target and one that does not, and then
halves the ratio between the two. Every rate is tried several times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.bootstrap import Interval, Spread, student_quantile

_HOPELESS_LATENCY = 3.0
_HOPELESS_ERRORS = 0.05
_MOST_LOST = 2
"""Trials in which the client was the limit: so many at one rate end the search, where fewer count."""
_TAIL = 0.975


@dataclass(frozen=True, slots=True)
class KneeTarget:
    """What has to be kept.

    Attributes:
        percent: The percentile.
        seconds: What it may be at most.
        errors: Share of requests that may fail, or not be sent because too many were unanswered, at most.
    """

    seconds: float
    percent: float = 99.0
    errors: float = 0.001


@dataclass(frozen=True, slots=True)
class KneeTrial:
    """What a trial at a rate gave.

    Attributes:
        latency: The target's percentile, in seconds; infinite when nothing was answered.
        requests: How many there were.
        failed: How many of them failed.
        counts: False when the client was the limit.
        settled: False when latency rose all the time: the queue grew, and a longer trial would have had more.
    """

    latency: float
    requests: int
    failed: int
    counts: bool = True
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Knee:
    """What a search found.

    Attributes:
        rate: The highest rate that kept the target, 0 when none did.
        interval: Where the knee lies; its high end is infinite when no rate failed for certain.
        end: Why the search ended: `found`, `all rates kept the target`, `no rate kept the target`, `the
            client was the limit` or `out of trials`.
    """

    rate: float
    interval: Interval
    end: str


@dataclass
class KneeSearch:
    """A search in progress.

    Args:
        target: What has to be kept.
        first_rate: Where to begin, requests a second.
        lowest_rate: Below this it is not tried.
        highest_rate: Above this it is not tried.
        repeats: Trials at each rate.
        resolution: The search ends when the failing rate is at most this share above the one that keeps.
        max_trials: It ends after so many at the latest.
    """

    target: KneeTarget
    first_rate: float
    lowest_rate: float = 0.1
    highest_rate: float = 1e5
    repeats: int = 3
    resolution: float = 0.05
    max_trials: int = 60
    trials: dict[float, list[KneeTrial]] = field(default_factory=dict)

    def next_rate(self) -> float | None:
        """The rate to try next; None when the search is over."""
        return self._step()[0]

    def tell(self, rate: float, trial: KneeTrial) -> None:
        """Say what a trial gave."""
        self.trials.setdefault(rate, []).append(trial)

    def result(self) -> Knee:
        """What is known by now.

        The interval comes from how much repeats at one rate differ, over all rates together: with this
        spread the latency at each rate lies between two limits, and the knee between where the one and
        where the other crosses the target. It is never narrower than the bracket. Of single trials the
        spread is not known.
        """
        _, end = self._step()
        low, high = self._bracket(self._verdicts())
        first, last = self._limits()
        return Knee(low, Interval(low, min(first, low), max(last, high)), end or "still searching")

    def _step(self) -> tuple[float | None, str]:
        if not self.trials:
            return min(max(self.first_rate, self.lowest_rate), self.highest_rate), ""
        if any(map(self._client_was_the_limit, self.trials.values())):
            return None, "the client was the limit"
        if sum(map(len, self.trials.values())) >= self.max_trials:
            return None, "out of trials"
        undecided = next((rate for rate in self.trials if self._verdict(self.trials[rate]) is None), None)
        if undecided is not None:
            return undecided, ""
        return self._next(*self._bracket(self._verdicts()))

    def _next(self, low: float, high: float) -> tuple[float | None, str]:
        """The rate to try, of the bracket's two; or why there is none."""
        if math.isinf(high):
            step: tuple[float | None, str] = (min(low * 2, self.highest_rate), "")
            return step if low < self.highest_rate else (None, "all rates kept the target")
        if low == 0:
            step = (max(high / 2, self.lowest_rate), "")
            return step if high > self.lowest_rate else (None, "no rate kept the target")
        return (math.sqrt(low * high), "") if high > low * (1 + self.resolution) else (None, "found")

    @staticmethod
    def _client_was_the_limit(trials: Sequence[KneeTrial]) -> bool:
        """Not of one trial alone: what held the client up for a moment need not be the load."""
        lost = sum(not trial.counts for trial in trials)
        return lost >= _MOST_LOST and 2 * lost > len(trials)

    def _verdicts(self) -> dict[float, bool]:
        verdicts = {rate: self._verdict(trials) for rate, trials in self.trials.items()}
        return {rate: verdict for rate, verdict in sorted(verdicts.items()) if verdict is not None}

    def _verdict(self, trials: Sequence[KneeTrial]) -> bool | None:
        """Whether a rate keeps the target; None when that takes more trials."""
        counted = [trial for trial in trials if trial.counts]
        if not counted:
            return None
        requests = sum(trial.requests for trial in counted)
        errors = sum(trial.failed for trial in counted) / requests if requests else 1.0
        latency = float(np.median([trial.latency for trial in counted]))
        if latency > _HOPELESS_LATENCY * self.target.seconds or errors > _HOPELESS_ERRORS:
            return False
        if len(counted) < self.repeats:
            return None
        settled = sum(trial.settled for trial in counted) * 2 > len(counted)
        return settled and latency <= self.target.seconds and errors <= self.target.errors

    @staticmethod
    def _bracket(verdicts: Mapping[float, bool]) -> tuple[float, float]:
        """The lowest rate that fails, and below it the highest that keeps; what keeps above is chance."""
        high = min((rate for rate, keeps in verdicts.items() if not keeps), default=math.inf)
        low = max((rate for rate, keeps in verdicts.items() if keeps and rate < high), default=0.0)
        return low, high

    def _limits(self) -> tuple[float, float]:
        """Where the knee lies with 95 % confidence; what no rate says is left open: infinity, and 0."""
        rates = sorted(self._verdicts())
        logs = {rate: self._logs(rate) for rate in rates}
        spread = Spread.pooled([each for each in logs.values() if each.size > 1])
        if not spread.degrees:
            return math.inf, 0.0
        width = student_quantile(_TAIL, spread.degrees) * spread.deviation
        middle = np.array([logs[rate].mean() if logs[rate].size else math.inf for rate in rates])
        wide = np.array([width / math.sqrt(max(logs[rate].size, 1)) for rate in rates])
        # Latency rises with the rate: what dips is noise.
        upper = np.maximum.accumulate(middle + wide)
        lower = np.minimum.accumulate((middle - wide)[::-1])[::-1]
        return self._crossing(rates, upper, first=True), self._crossing(rates, lower, first=False)

    def _logs(self, rate: float) -> NDArray[np.float64]:
        """Logarithms of a rate's latencies; none where it is not latency that decides."""
        trials = [trial for trial in self.trials[rate] if trial.counts]
        latencies = np.array([trial.latency for trial in trials])
        by_latency = float(np.median(latencies)) > self.target.seconds
        if not np.isfinite(latencies).all() or (not self._verdict(trials) and not by_latency):
            return np.zeros(0)
        logs: NDArray[np.float64] = np.log(np.maximum(latencies, 1e-9))
        return logs

    def _crossing(self, rates: Sequence[float], limit: NDArray[np.float64], *, first: bool) -> float:
        """Where a limit, which rises, crosses the target, on logarithmic axes.

        Args:
            rates: Ascending.
            limit: At each.
            first: Where no line can be drawn, because the next rate fails for another reason: the lower of
            the two
                rates, otherwise the higher.
        """
        target = math.log(self.target.seconds)
        above = int(np.searchsorted(limit, target, side="right"))
        if above == len(rates):
            return math.inf
        if above == 0:
            return 0.0 if first else rates[0]
        low, high = rates[above - 1], rates[above]
        if not math.isfinite(limit[above]):
            return low if first else high
        way = (target - limit[above - 1]) / (limit[above] - limit[above - 1])
        crossing: float = low * (high / low) ** float(way)
        return crossing
