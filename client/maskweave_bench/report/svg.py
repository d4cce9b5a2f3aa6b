"""A plain line chart as SVG. Colours come from the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 40


@dataclass(frozen=True)
class Line:
    """A line, or points alone.

    Attributes:
        points: X and y of each.
        color: Number of the colour, from 0.
        style: How it looks.
        titles: What is shown when the pointer is on a point.
    """

    points: Sequence[tuple[float, float]]
    color: int
    style: str = "solid"
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis that is marked, with what it stands for."""

    begin: float
    end: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: Told to screen readers.
        x_label: Under the axis.
        y_label: Above the axis.
        lines: What is drawn.
        bands: What is marked.
        level: A horizontal line with its label.
        x_ticks: Places and labels; without, they are chosen.
        log_y: Whether the y axis is logarithmic.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    level: tuple[float, str] | None = None
    x_ticks: Sequence[tuple[float, str]] = ()
    log_y: bool = True
    x_range: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = field(default_factory=tuple)


def draw(chart: Chart) -> str:
    """The chart as an `svg` element."""
    xs = [x for line in chart.lines for x, _ in line.points]
    ys = [y for line in chart.lines for _, y in line.points if y > 0 or not chart.log_y]
    if chart.level is not None:
        ys.append(chart.level[0])
    if not xs or not ys:
        return '<p class="empty">Nothing was answered.</p>'
    x_low, x_high = chart.x_range or (min(xs), max(xs))
    y_low, y_high = _y_range(ys, chart.log_y)
    x_at = _scale(x_low, x_high if x_high > x_low else x_low + 1, _LEFT, WIDTH - _RIGHT)
    y_at = _scale(y_low, y_high, HEIGHT - _BOTTOM, _TOP, log=chart.log_y)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        *(_band(band, x_at) for band in chart.bands),
        *_y_axis(y_low, y_high, y_at, log=chart.log_y),
        *_x_axis(chart.x_ticks or _linear_ticks(x_low, x_high), x_at),
        f'<text class="label" x="{WIDTH - _RIGHT}" y="{HEIGHT - 5}" text-anchor="end">'
        f"{escape(chart.x_label)}</text>",
        f'<text class="label" x="2" y="11">{escape(chart.y_label)}</text>',
    ]
    if chart.level is not None:
        y = y_at(chart.level[0])
        parts.append(
            f'<line class="level" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="levellabel" x="{WIDTH - _RIGHT}" y="{y - 4:.1f}" text-anchor="end">'
            f"{escape(chart.level[1])}</text>"
        )
    parts.extend(_line(line, x_at, y_at, log=chart.log_y) for line in chart.lines)
    parts.extend(
        f'<path class="failed" d="M{x_at(x):.1f} {_TOP + 1} l4 7 l-8 0 z">'
        f"<title>{escape(title)}</title></path>"
        for x, title in chart.marks
    )
    return "".join([*parts, "</svg>"])


def _scale(
    low: float, high: float, first: float, last: float, *, log: bool = False
) -> Callable[[float], float]:
    if log:
        begin, span = math.log10(low), math.log10(high) - math.log10(low)
        return lambda value: first + (math.log10(max(value, low / 10)) - begin) / span * (last - first)
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _y_range(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if not log:
        return 0.0, high * 1.05 or 1.0
    low, high = low / 1.15, high * 1.15
    # At least a factor of four, or noise looks like a mountain range.
    if high < low * 4:
        middle = math.sqrt(low * high)
        low, high = middle / 2, middle * 2
    return low, high


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [
            step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high
        ]
        if len(ticks) >= 4:
            return ticks
    return ticks


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    if high <= low:
        return [(low, f"{low:g}")]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [
        (number * step, f"{number * step:g}") for number in range(first, math.floor(high / step + 1e-9) + 1)
    ]


def _y_axis(low: float, high: float, at: Callable[[float], float], *, log: bool) -> list[str]:
    ticks = _log_ticks(low, high) if log else [value for value, _ in _linear_ticks(low, high)]
    return [
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at(tick):.1f}" y2="{at(tick):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 6}" y="{at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    ]


def _x_axis(ticks: Sequence[tuple[float, str]], at: Callable[[float], float]) -> list[str]:
    y = HEIGHT - _BOTTOM
    axis = f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
    return [
        axis,
        *(
            f'<line class="axis" x1="{at(x):.1f}" x2="{at(x):.1f}" y1="{y}" y2="{y + 4}"/>'
            f'<text class="tick" x="{at(x):.1f}" y="{y + 17}" text-anchor="middle">{escape(label)}</text>'
            for x, label in ticks
        ),
    ]


def _band(band: Band, at: Callable[[float], float]) -> str:
    left, right = at(band.begin), max(at(band.end), at(band.begin) + 2)
    return (
        f'<rect class="band {band.kind}" x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" '
        f'height="{HEIGHT - _TOP - _BOTTOM}"><title>{escape(band.title)}</title></rect>'
    )


def _line(line: Line, x_at: Callable[[float], float], y_at: Callable[[float], float], *, log: bool) -> str:
    places = [(x_at(x), y_at(y)) for x, y in line.points if y > 0 or not log]
    parts = []
    if "dots" not in line.style and len(places) > 1:
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="line {line.style} c{line.color}" d="{path}"/>')
    if "dots" in line.style or line.titles:
        titles = list(line.titles) or [""] * len(places)
        radius = 2.2 if "small" in line.style else 3.4
        parts.extend(
            f'<circle class="dot {line.style} c{line.color}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
            f"<title>{escape(title)}</title></circle>"
            for (x, y), title in zip(places, titles, strict=False)
        )
    return "".join(parts)
