"""Whether one of two measurements is slower than the other, and how sure that is. Pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.bootstrap import RESAMPLES, Blocks, Interval, Spread, paired_interval
from maskweave_bench.histogram import Histogram, enough
from maskweave_bench.record import Load, Trial
from maskweave_bench.results import Results

CONFIDENCE = 0.95

_FEWEST_PAIRS = 2

_ERRORS = "errors"
_THROUGHPUT = "requests/s"

Verdict = Literal["worse", "better", "same", "cannot tell"]

_Drawn = tuple[float, NDArray[np.float64]]
"""A figure of a trial, and what resampled blocks of it give, `[R]`."""


class NotComparableError(ValueError):
    """Two results have nothing in common that can be compared."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What difference is not worth a word: the shares by which each may be worse.

    Attributes:
        p50: Of the median latency.
        p99: Of the 99th percentile.
        throughput: Of the requests a second of a closed loop.
        errors: Difference of the shares of failed requests.
    """

    p50: float = 0.05
    p99: float = 0.15
    throughput: float = 0.05
    errors: float = 0.001


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure under one load, of the candidate against the baseline.

    Attributes:
        load: Name of the load.
        figure: `p50`, `p99`, `errors` or, of closed loops, `requests/s`.
        baseline: In seconds, a share, or requests a second; the mean over the pairs.
        candidate: The same.
        change: Candidate over baseline; of errors, the difference.
        pairs: Pairs of repeats that went into it.
        verdict: `worse` or `better` when the whole interval is on one side and the change beyond the
            tolerance, `same` when the whole interval is within the tolerance; of a single pair, always
            `cannot tell`.
    """

    load: str
    figure: str
    baseline: float
    candidate: float
    change: Interval
    pairs: int
    verdict: Verdict


def compare(
    baseline: Sequence[Trial],
    candidate: Sequence[Trial],
    tolerance: Tolerance | None = None,
    *,
    seed: int = 0,
) -> list[Comparison]:
    """Compare trials of two targets, or of one target at two times.

    Trials of the same load and the same repeat are a pair. The confidence of all intervals together is 95 %:
    with many loads and figures each is wider, so that among many none is called different by accident.

    Args:
        baseline: What is compared with. Trials in which the client was the limit are left out.
        candidate: What is judged.
        tolerance: What difference is not worth a word.
        seed: Of the resampling.

    Raises:
        NotComparableError: There is no pair.
    """
    tolerance = tolerance or Tolerance()
    pairs = _pairs(baseline, candidate)
    if not pairs:
        raise NotComparableError(
            "there is no pair of trials with the same load and repeat in which the client was not the limit"
        )
    random = np.random.default_rng(seed)
    every = [_pair_up(load, each, random) for load, each in pairs.items()]
    measured = [one for each in every for one in each]
    told = [one for one in measured if np.isfinite(one.estimates).all()]
    confidence = 1 - (1 - CONFIDENCE) / max(len(told), 1)
    usual = {
        figure: Spread.pooled([one.estimates for one in told if one.figure == figure])
        for figure in {one.figure for one in told}
    }
    return [_judge(one, tolerance, confidence, usual.get(one.figure), random) for one in measured]


def overall(comparisons: Iterable[Comparison]) -> Verdict:
    """One verdict over all: `worse` if anything is, `same` if everything is at least that.

    Figures for which there were too few answers have no say.
    """
    verdicts = {each.verdict for each in comparisons if not math.isnan(each.change.estimate)}
    if "worse" in verdicts:
        return "worse"
    if "cannot tell" in verdicts or not verdicts:
        return "cannot tell"
    return "better" if "better" in verdicts else "same"


def differences(baseline: Results, candidate: Results) -> list[str]:
    """What else is not the same in two files, and could be why they differ."""
    found = []
    if json.dumps(baseline.scenario, sort_keys=True) != json.dumps(candidate.scenario, sort_keys=True):
        found.append("the scenarios differ: other requests were asked")
    for key in ("cpu", "usable_cores", "cgroup_cpus", "python", "grpcio"):
        ours, theirs = baseline.environment.get(key), candidate.environment.get(key)
        if ours != theirs:
            found.append(f"the clients' {key.replace('_', ' ')} differ: {ours} and {theirs}")
    return found


def _pairs(baseline: Iterable[Trial], candidate: Iterable[Trial]) -> dict[Load, list[tuple[Trial, Trial]]]:
    theirs = {(trial.load, trial.repeat): trial for trial in candidate if trial.counts}
    pairs: dict[Load, list[tuple[Trial, Trial]]] = {}
    for trial in baseline:
        other = theirs.get((trial.load, trial.repeat))
        if trial.counts and other is not None:
            pairs.setdefault(trial.load, []).append((trial, other))
    return dict(
        sorted(pairs.items(), key=lambda item: (item[0].kind, item[0].rate or 0.0, item[0].clients or 0))
    )


@dataclass(frozen=True, eq=False)
class _Paired:
    """A figure of all pairs of a load.

    Attributes:
        load: The load.
        figure: The figure.
        ours: Of the baseline, `[N]`.
        theirs: Of the candidate, `[N]`.
        estimates: Differences of errors, or logarithms of ratios, `[N]`; NaN where they are not known.
        draws: The same of resampled blocks, `[N, R]`.
    """

    load: Load
    figure: str
    ours: NDArray[np.float64]
    theirs: NDArray[np.float64]
    estimates: NDArray[np.float64]
    draws: NDArray[np.float64]


def _pair_up(load: Load, pairs: Sequence[tuple[Trial, Trial]], random: np.random.Generator) -> list[_Paired]:
    blocks = [[_blocks(trial) for trial in pair] for pair in pairs]
    figures = ("p50", "p99", _ERRORS, *(() if load.is_open else (_THROUGHPUT,)))
    found = []
    for figure in figures:
        drawn = [
            [_figure_of(figure, trial, of, random) for trial, of in zip(pair, both, strict=True)]
            for pair, both in zip(pairs, blocks, strict=True)
        ]
        ours, theirs = (np.array([pair[side][0] for pair in drawn]) for side in (0, 1))
        ours_drawn, theirs_drawn = (np.stack([pair[side][1] for pair in drawn]) for side in (0, 1))
        if figure == _ERRORS:
            found.append(_Paired(load, figure, ours, theirs, theirs - ours, theirs_drawn - ours_drawn))
        else:
            ratio, ratio_drawn = _log_ratio(theirs, ours), _log_ratio(theirs_drawn, ours_drawn)
            found.append(_Paired(load, figure, ours, theirs, ratio, ratio_drawn))
    return found


def _judge(
    paired: _Paired,
    tolerance: Tolerance,
    confidence: float,
    usual: Spread | None,
    random: np.random.Generator,
) -> Comparison:
    figure, pairs = paired.figure, paired.estimates.size
    known = paired.load.name, figure, float(paired.ours.mean()), float(paired.theirs.mean())
    if not np.isfinite(paired.estimates).all():
        return Comparison(*known, Interval(math.nan, math.nan, math.nan), pairs, "cannot tell")
    change = paired_interval(
        paired.estimates, paired.draws, confidence=confidence, random=random, usual=usual
    )
    if figure == _ERRORS:
        verdict = _verdict(change, tolerance.errors, none=0.0, down=-tolerance.errors, more_is_worse=True)
    else:
        change = Interval(*(_exp(each) for each in (change.estimate, change.low, change.high)))
        share = {"p50": tolerance.p50, "p99": tolerance.p99, _THROUGHPUT: tolerance.throughput}[figure]
        worse_up = figure != _THROUGHPUT
        verdict = _verdict(change, 1 + share, none=1.0, down=1 / (1 + share), more_is_worse=worse_up)
    if pairs < _FEWEST_PAIRS:
        verdict = "cannot tell"
    return Comparison(*known, change, pairs, verdict)


def _verdict(change: Interval, up: float, *, none: float, down: float, more_is_worse: bool) -> Verdict:
    worse, better = ("worse", "better") if more_is_worse else ("better", "worse")
    if change.low > none and change.estimate > up:
        return worse  # type: ignore[return-value]
    if change.high < none and change.estimate < down:
        return better  # type: ignore[return-value]
    return "same" if down <= change.low and change.high <= up else "cannot tell"


def _blocks(trial: Trial) -> Blocks:
    return Blocks.of([Histogram.decode(block.latency).values() for block in trial.blocks])


def _figure_of(figure: str, trial: Trial, blocks: Blocks, random: np.random.Generator) -> _Drawn:
    if figure == _ERRORS:
        return _share_failed(trial, random)
    if figure == _THROUGHPUT:
        return _throughput(trial, random)
    percent = {"p50": 50.0, "p99": 99.0}[figure]
    if not enough(percent, int(blocks.counts.sum())):
        return math.nan, np.full(RESAMPLES, math.nan)
    return float(blocks.percentile(percent)), blocks.draws(percent, RESAMPLES, random)


def _share_failed(trial: Trial, random: np.random.Generator) -> _Drawn:
    failed = np.array([block.failed for block in trial.blocks], np.float64)
    requests = np.array([block.requests for block in trial.blocks], np.float64)
    chosen = random.integers(len(trial.blocks), size=(RESAMPLES, len(trial.blocks)))
    drawn = failed[chosen].sum(axis=1) / np.maximum(requests[chosen].sum(axis=1), 1)
    return float(failed.sum() / max(requests.sum(), 1)), drawn


def _throughput(trial: Trial, random: np.random.Generator) -> _Drawn:
    answered = np.array(
        [(block.requests - block.failed) / block.seconds for block in trial.blocks], np.float64
    )
    chosen = random.integers(answered.size, size=(RESAMPLES, answered.size))
    return float(answered.mean()), answered[chosen].mean(axis=1)


def _log_ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms of ratios; NaN stays, and the least is a nanosecond: resampled blocks may have no answer."""
    least = 1e-9
    ratio: NDArray[np.float64] = np.log(np.maximum(over, least) / np.maximum(under, least))
    return ratio


def _exp(value: float) -> float:
    return math.exp(min(value, 50.0))
