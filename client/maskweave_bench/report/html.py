"""The page: one file of HTML with everything in it, which asks no other machine for anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from maskweave_bench.histogram import Histogram
from maskweave_bench.report import words
from maskweave_bench.report.charts import latency_over_load, percentile_curve, shown_loads, timeline, worst
from maskweave_bench.report.view import Cell, View, triton_rows

_MOST_LOADS = 6
_PART_COLORS = 12
_FIRST_CODE = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a stacked bar; its width is in percent of the longest bar."""

    name: str
    width: float
    color: int
    text: str


@dataclass(frozen=True)
class Bar:
    """A stacked bar with its label and the sum at its end."""

    label: str
    segments: Sequence[Segment]
    total: str


def render(view: View) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("maskweave_bench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    names = [target.name for target in view.results.targets]
    loads = shown_loads(view, _MOST_LOADS)
    parts = list(dict.fromkeys(part.name for cell in view.cells for part in cell.parts if part.mean > 0))
    codes = list(dict.fromkeys(code for cell in view.cells for code in cell.codes if code != "OK"))
    over_load = {
        f"p{percent:g}": Markup(chart)
        for percent in (50.0, 99.0)
        if (chart := latency_over_load(view, percent))
    }
    return environment.get_template("page.html.j2").render(
        view=view,
        results=view.results,
        names=names,
        words=words,
        over_load=over_load,
        curves=[(load, Markup(percentile_curve(view.of_load(load), names))) for load in loads],
        timelines=[
            (cell, Markup(timeline(worst(cell.trials), names.index(cell.target))))
            for load in loads
            for cell in view.of_load(load)
        ],
        parts=parts,
        stage_bars=stage_bars(view.cells, parts),
        triton_rows=triton_rows(view.cells),
        overlap=max((cell.overlap for cell in view.cells), default=0.0),
        codes=codes,
        error_bars=error_bars([cell for cell in view.cells if cell.failed], codes),
        hidden_loads=len(view.loads) - len(loads),
        part_color=lambda name: parts.index(name) % _PART_COLORS,
        code_color=lambda name: (codes.index(name) + _FIRST_CODE) % _PART_COLORS,
        histogram_of=Histogram.decode,
    )


def stage_bars(cells: Sequence[Cell], parts: Sequence[str]) -> list[Bar]:
    """A bar for each cell that has timings, stacked of the means of its parts."""
    timed = [(cell, cell.parts) for cell in cells if cell.parts]
    longest = max((sum(part.mean for part in parts_of) for _, parts_of in timed), default=0.0) or 1.0
    return [
        Bar(
            f"{cell.target} · {cell.load.name}",
            [
                Segment(
                    part.name,
                    part.mean / longest * 100,
                    parts.index(part.name) % _PART_COLORS,
                    f"{part.name}: mean {words.milliseconds(part.mean)} ms, "
                    f"p50 {words.milliseconds(part.p50)}, p99 {words.milliseconds(part.p99)}",
                )
                for part in parts_of
                if part.mean > 0
            ],
            f"{words.milliseconds(sum(part.mean for part in parts_of))} ms",
        )
        for cell, parts_of in timed
    ]


def error_bars(cells: Sequence[Cell], codes: Sequence[str]) -> list[Bar]:
    """A bar for each cell with failures, stacked by code."""
    most = max((cell.failed / max(cell.requests, 1) for cell in cells), default=0.0) or 1.0
    return [
        Bar(
            f"{cell.target} · {cell.load.name}",
            [
                Segment(
                    code,
                    number / max(cell.requests, 1) / most * 100,
                    (codes.index(code) + _FIRST_CODE) % _PART_COLORS,
                    f"{code}: {number} of {cell.requests}",
                )
                for code, number in cell.codes.items()
                if code != "OK"
            ],
            words.share(cell.failed / max(cell.requests, 1)),
        )
        for cell in cells
    ]
