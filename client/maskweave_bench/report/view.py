"""Results put in order for reading: trials of one target and load together. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from maskweave_bench.compare import Comparison, NotComparableError, Verdict, compare, overall
from maskweave_bench.histogram import Histogram, enough
from maskweave_bench.metrics_page import SERVER_CPU
from maskweave_bench.record import Load, PartMean, Trial
from maskweave_bench.report import words
from maskweave_bench.results import Results
from maskweave_bench.triton_statistics import BATCH, PARTS, by_model

PERCENTS = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the repeats: of all together, and the lowest and highest of single ones. In seconds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """The trials of one target and load.

    Attributes:
        target: Name of the target.
        load: The load.
        trials: Those that count, or all if none does.
        counts: Whether any counts.
        latency: Of all of them.
        service_time: The same, from when requests were sent.
        percentiles: By percent; None where there are too few requests for one.
    """

    target: str
    load: Load
    trials: list[Trial]
    counts: bool
    latency: Histogram
    service_time: Histogram
    percentiles: dict[float, Spread | None]

    @property
    def requests(self) -> int:
        """Measured requests."""
        return sum(trial.requests for trial in self.trials)

    @property
    def failed(self) -> int:
        """Of them, those that failed."""
        return sum(trial.failed for trial in self.trials)

    @property
    def per_second(self) -> float:
        """Requests answered in a second, on average."""
        return float(np.mean([trial.per_second for trial in self.trials]))

    @property
    def images_per_second(self) -> float:
        """Images that came in a second, on average."""
        return float(np.mean([trial.images_per_second for trial in self.trials]))

    @property
    def codes(self) -> dict[str, int]:
        """Requests by code, the most frequent first."""
        codes: dict[str, int] = {}
        for trial in self.trials:
            for code, number in trial.codes.items():
                codes[code] = codes.get(code, 0) + number
        return dict(sorted(codes.items(), key=lambda item: -item[1]))

    @property
    def parts(self) -> list[PartMean]:
        """Where the time went, on average over the trials."""
        found: dict[str, list[PartMean]] = {}
        for trial in self.trials:
            for part in trial.parts:
                found.setdefault(part.name, []).append(part)
        return [
            PartMean(
                name=name,
                mean=float(np.mean([part.mean for part in parts])),
                p50=float(np.mean([part.p50 for part in parts])),
                p99=float(np.mean([part.p99 for part in parts])),
            )
            for name, parts in found.items()
        ]

    @property
    def overlap(self) -> float:
        """`Trial.overlap`, on average."""
        return float(np.mean([trial.overlap for trial in self.trials]))

    @property
    def triton(self) -> dict[str, dict[str, float]]:
        """What Triton says of a request, by model and part, on average over the trials that tell."""
        found: dict[str, dict[str, list[float]]] = {}
        for trial in self.trials:
            for model, parts in by_model(trial.metrics).items():
                for part, value in parts.items():
                    found.setdefault(model, {}).setdefault(part, []).append(value)
        return {
            model: {part: float(np.mean(values)) for part, values in parts.items()}
            for model, parts in found.items()
        }

    @property
    def cpu_per_request(self) -> float | None:
        """Seconds of the service's CPU for each request answered; None when its metrics were not read."""
        used = [trial.metrics.get(SERVER_CPU) for trial in self.trials]
        answered = sum(trial.per_second * trial.load.seconds for trial in self.trials)
        known = [each for each in used if each is not None]
        return sum(known) / answered if known and len(known) == len(used) and answered else None


@dataclass(frozen=True)
class Judged:
    """A target against the baseline."""

    baseline: str
    candidate: str
    comparisons: list[Comparison]
    verdict: Verdict
    why_not: str = ""


@dataclass(frozen=True)
class View:
    """What a report shows.

    Attributes:
        results: All of it.
        cells: By load, then target.
        loads: In the order of the trials.
        judged: Each target against the first, or against an earlier measurement.
        left_out: Trials in which the client was the limit.
        warnings: What a reader should know.
    """

    results: Results
    cells: list[Cell]
    loads: list[Load]
    judged: list[Judged]
    left_out: list[Trial]
    warnings: list[str] = field(default_factory=list)

    def of_load(self, load: Load) -> list[Cell]:
        """The cells of a load, one for each target."""
        return [cell for cell in self.cells if cell.load == load]


def view(results: Results, judged: Sequence[Judged] | None = None) -> View:
    """Put results in order.

    Args:
        results: What was measured.
        judged: Comparisons with an earlier measurement; without, targets are compared with the first.
    """
    loads = list(dict.fromkeys(trial.load for trial in results.trials))
    if all(load.kind == loads[0].kind for load in loads[1:]):
        loads.sort(key=lambda load: (load.rate or 0.0, load.clients or 0))
    names = [target.name for target in results.targets]
    cells = [
        cell_of(name, load, trials)
        for load in loads
        for name in names
        if (trials := [trial for trial in results.trials if trial.target == name and trial.load == load])
    ]
    left_out = [trial for trial in results.trials if not trial.counts]
    return View(
        results,
        cells,
        loads,
        list(judged) if judged is not None else judge_targets(results),
        left_out,
        _warnings(results, left_out),
    )


def triton_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """A table of what Tritons say of themselves, with its heading; empty where none was asked."""
    rows = [
        [
            f"{cell.target}, {cell.load.name}",
            model,
            *(words.milliseconds(parts.get(part)) for part in PARTS),
            f"{parts[BATCH]:.1f}" if BATCH in parts else "-",
        ]
        for cell in cells
        for model, parts in cell.triton.items()
    ]
    heading = ["load", "model", *(f"{part.replace('_', ' ')} ms" for part in PARTS), "images a batch"]
    return [heading, *rows] if rows else []


def cell_of(target: str, load: Load, trials: Sequence[Trial]) -> Cell:
    """The trials of one target and load together."""
    counted = [trial for trial in trials if trial.counts]
    chosen = counted or list(trials)
    each = [Histogram.decode(trial.latency) for trial in chosen]
    latency = Histogram.merged(each)
    percentiles = {percent: _spread(percent, latency, each) for percent in PERCENTS}
    service_time = Histogram.merged(Histogram.decode(trial.service_time) for trial in chosen)
    return Cell(target, load, chosen, bool(counted), latency, service_time, percentiles)


def judge_targets(results: Results) -> list[Judged]:
    """Each target against the first."""
    names = [target.name for target in results.targets]
    trials = {name: [trial for trial in results.trials if trial.target == name] for name in names}
    return [judge(names[0], trials[names[0]], name, trials[name]) for name in names[1:]]


def judge(baseline: str, ours: Sequence[Trial], candidate: str, theirs: Sequence[Trial]) -> Judged:
    """A candidate against a baseline."""
    try:
        comparisons = compare(ours, theirs)
    except NotComparableError as error:
        return Judged(baseline, candidate, [], "cannot tell", str(error))
    return Judged(baseline, candidate, comparisons, overall(comparisons))


def _spread(percent: float, latency: Histogram, each: Sequence[Histogram]) -> Spread | None:
    if not enough(percent, len(latency)):
        return None
    single = [histogram.percentile(percent) for histogram in each if len(histogram)]
    return Spread(latency.percentile(percent), min(single), max(single))


def _warnings(results: Results, left_out: Sequence[Trial]) -> list[str]:
    found = list(results.notes)
    if left_out:
        found.append(
            f"In {len(left_out)} of {len(results.trials)} trials the client was the limit; they do not "
            f"count. For example {left_out[0].target}, {left_out[0].load.name}: {left_out[0].limits[0]}."
        )
    unsteady = [trial for trial in results.trials if trial.state in {"rising", "unsettled"} and trial.counts]
    if unsteady:
        found.append(
            f"In {len(unsteady)} trial{'s' if len(unsteady) != 1 else ''} latency was {unsteady[0].state}: "
            f"{', '.join(dict.fromkeys(f'{trial.target} at {trial.load.name}' for trial in unsteady))}. "
            "A longer trial would have given other figures; a rising one is most likely beyond what the "
            "service can do."
        )
    stalls = sum(len(trial.stalls) for trial in results.trials)
    if stalls:
        longest = max(
            (s.end - s.begin, trial.target, trial.load.name) for trial in results.trials for s in trial.stalls
        )
        found.append(
            f"{stalls} stall{'s' if stalls != 1 else ''}: nothing was answered for up to {longest[0]:.2f} s "
            f"({longest[1]}, {longest[2]})."
        )
    return found
