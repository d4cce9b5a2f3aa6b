"""The charts of a report, from its cells and trials. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskweave_bench.histogram import Histogram, enough
from maskweave_bench.record import Load, Trial
from maskweave_bench.report.svg import Band, Chart, Line, draw
from maskweave_bench.report.view import Cell, View
from maskweave_bench.report.words import duration, milliseconds
from maskweave_bench.results import KneeResult

_CURVE = (
    0.0,
    25,
    50,
    60,
    70,
    75,
    80,
    85,
    90,
    92,
    94,
    95,
    96,
    97,
    98,
    98.5,
    99,
    99.3,
    99.5,
    99.7,
    99.8,
    99.9,
    99.95,
    99.97,
    99.99,
    99.999,
)
_CURVE_TICKS = (
    (50.0, "50"),
    (90.0, "90"),
    (99.0, "99"),
    (99.9, "99.9"),
    (99.99, "99.99"),
    (99.999, "99.999"),
)


def latency_over_load(view: View, percent: float, style: str = "solid") -> str:
    """A percentile of every target over the loads; empty without two loads of a kind, or answers enough."""
    knee = view.results.knees[0] if view.results.knees else None
    best: list[Line] = []
    x_label = ""
    for open_loop in (True, False):
        loads = [
            load for load in view.loads if load.is_open is open_loop and load.kind not in {"ramp", "trace"}
        ]
        if len(loads) < 2 or best:
            continue
        x_label = "requests a second, as sent" if open_loop else "clients"
        for number, target in enumerate(view.results.targets):
            cells = [cell for cell in view.cells if cell.target == target.name and cell.load in loads]
            best.extend(_over_load(cells, percent, number, style))
    if not any(line.points for line in best):
        return ""
    level = _level(knee, percent)
    title = f"p{percent:g} over load"
    return draw(Chart(title, x_label, "ms", best, level=level, x_range=_from_zero(best)))


def _over_load(cells: Sequence[Cell], percent: float, color: int, style: str) -> list[Line]:
    points: list[tuple[float, float]] = []
    titles: list[str] = []
    single: list[tuple[float, float]] = []
    for cell in cells:
        spread = cell.percentiles.get(percent)
        x = cell.load.rate if cell.load.is_open else cell.load.clients
        if spread is None or x is None:
            continue
        single.extend((float(x), _of(trial, percent) * 1e3) for trial in cell.trials)
        if cell.counts:
            points.append((float(x), spread.value * 1e3))
            titles.append(
                f"{cell.target}, {cell.load.name}: p{percent:g} {milliseconds(spread.value)} ms "
                f"({milliseconds(spread.low)} to {milliseconds(spread.high)} in single repeats), "
                f"{cell.failed} of {cell.requests} failed"
            )
    order = sorted(range(len(points)), key=lambda index: points[index][0])
    return [
        Line([(x, y) for x, y in single if not math.isnan(y)], color, "small dots faint"),
        Line([points[index] for index in order], color, style, [titles[index] for index in order]),
    ]


def _of(trial: Trial, percent: float) -> float:
    return Histogram.decode(trial.latency).percentile(percent)


def _level(knee: KneeResult | None, percent: float) -> tuple[float, str] | None:
    if knee is None or knee.percent != percent:
        return None
    return knee.seconds * 1e3, f"target {duration(knee.seconds)}"


def _from_zero(lines: Sequence[Line]) -> tuple[float, float]:
    return 0.0, max(x for line in lines for x, _ in line.points) * 1.04


def percentile_curve(cells: Sequence[Cell], names: Sequence[str]) -> str:
    """Latency by percentile under one load: from when requests were due, and from when they were sent."""
    lines = []
    for cell in cells:
        color = names.index(cell.target)
        for histogram, style, what in (
            (cell.service_time, "dashed", "from sending"),
            (cell.latency, "solid", "as callers wait"),
        ):
            percents = [percent for percent in _CURVE if enough(percent, len(histogram))]
            values = histogram.percentiles(percents) if len(histogram) else []
            points = [
                (_nines(percent), value * 1e3) for percent, value in zip(percents, values, strict=False)
            ]
            titles = [
                f"{cell.target}, p{percent:g} {what}: {milliseconds(value)} ms"
                for percent, value in zip(percents, values, strict=False)
            ]
            # Titles on the solid line alone: dots on both would hide what is below.
            lines.append(Line(points, color, f"{style} bare", titles if style == "solid" else ()))
    highest = max((x for line in lines for x, _ in line.points), default=1.0)
    ticks = [
        (0.0, "0"),
        *((_nines(percent), label) for percent, label in _CURVE_TICKS if _nines(percent) <= highest + 0.01),
    ]
    return draw(
        Chart("latency by percentile", "percentile", "ms", lines, x_ticks=ticks, x_range=(0.0, highest))
    )


def _nines(percent: float) -> float:
    """Place of a percentile on an axis on which each further nine is as far as the last."""
    return -math.log10(max(1 - percent / 100, 1e-7))


def timeline(trial: Trial, color: int) -> str:
    """A trial over its time: median and highest latency of each moment, warming up, stalls and failures."""
    width = trial.load.seconds / max(len(trial.timeline), 1)
    medians = [(each.begin + width / 2, each.p50 * 1e3) for each in trial.timeline if each.p50 is not None]
    highest = [(each.begin + width / 2, each.max * 1e3) for each in trial.timeline if each.max is not None]
    bands = [
        Band(
            stall.begin,
            min(stall.end, trial.load.seconds),
            "stall",
            f"stall: {stall.end - stall.begin:.2f} s, {stall.waiting} requests waiting",
        )
        for stall in trial.stalls
        if stall.begin < trial.load.seconds
    ]
    if trial.measured_from > 0:
        bands.insert(
            0,
            Band(0.0, trial.measured_from, "warmup", f"warming up: {trial.measured_from:.1f} s, not counted"),
        )
    marks = [
        (each.begin + width / 2, f"{each.failed} of {each.requests} failed")
        for each in trial.timeline
        if each.failed
    ]
    lines = [
        Line(highest, color, "small dots faint", [f"{x:.1f} s: at most {y:.1f} ms" for x, y in highest]),
        Line(medians, color, "solid"),
    ]
    return draw(
        Chart(
            f"timeline of {trial.target}, {trial.load.name}",
            "seconds",
            "ms",
            lines,
            bands,
            x_range=(0.0, trial.load.seconds),
            marks=marks,
        )
    )


def worst(trials: Sequence[Trial]) -> Trial:
    """The trial worth a look: with the longest stall, or else the middle one by its median."""
    stalled = [trial for trial in trials if trial.stalls]
    if stalled:
        return max(stalled, key=lambda trial: max(stall.end - stall.begin for stall in trial.stalls))
    ordered = sorted(trials, key=lambda trial: np.nan_to_num(_of(trial, 50)))
    return ordered[len(ordered) // 2]


def shown_loads(view: View, most: int) -> list[Load]:
    """At most so many loads: all, or some from the lowest to the highest."""
    if len(view.loads) <= most:
        return view.loads
    chosen = np.unique(np.linspace(0, len(view.loads) - 1, most).round().astype(int))
    return [view.loads[index] for index in chosen]
