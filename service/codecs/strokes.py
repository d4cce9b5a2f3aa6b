"""Strokes: lines drawn on a label map with a round brush, exactly as the proto's `Stroke` says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points.

    Attributes:
        class_id: Class to draw; 0 for ink, and to erase.
        width: Of the brush, in pixels.
        points: (x, y) of each, in pixels from the upper left corner.
        erase: Whether it takes away what is drawn there.
    """

    class_id: int
    width: float
    points: Sequence[tuple[float, float]]
    erase: bool = False


def check_strokes(
    strokes: Sequence[Stroke],
    palette_ids: Sequence[int],
    size: tuple[int, int],
    *,
    field: str,
    limits: Limits = LIMITS,
    erasable: bool = False,
) -> None:
    """Refuse strokes that cannot be drawn, or that would take too long to draw.

    Args:
        strokes: The strokes.
        palette_ids: The ids of the palette; none where they are of ink.
        size: Height and width of the canvas.
        field: Path of the list of strokes, for the message of a failure.
        limits: The bounds.
        erasable: Whether the canvas can be empty, and strokes may erase.

    Raises:
        InvalidArgument: A class, a width or a point is not allowed, or there are too many.
    """
    if not 1 <= len(strokes) <= limits.max_strokes:
        raise InvalidArgument(field, f"{len(strokes)} strokes", f"1 to {limits.max_strokes} strokes")
    points = sum(len(stroke.points) for stroke in strokes)
    if points > limits.max_stroke_points:
        raise InvalidArgument(field, f"{points} points", f"at most {limits.max_stroke_points} points in all")
    for index, stroke in enumerate(strokes):
        _check_class(stroke, palette_ids, f"{field}[{index}]", erasable=erasable)
        _check_shape(stroke, f"{field}[{index}]", limits)
    check_stroke_pixels(strokes, size, field=field, limits=limits)


def check_stroke_pixels(
    strokes: Sequence[Stroke], size: tuple[int, int], *, field: str, limits: Limits = LIMITS
) -> None:
    """Refuse strokes that would take too long to draw.

    Args:
        strokes: The strokes; each could be drawn.
        size: Height and width of the canvas.
        field: Path of the list of strokes, for the message of a failure.
        limits: The bounds.

    Raises:
        InvalidArgument: They go over too many pixels.
    """
    pixels = sum(
        _area(_window(segment, stroke.width, size)) for stroke in strokes for segment in _segments(stroke)
    )
    if pixels > limits.max_stroke_pixels:
        raise InvalidArgument(
            field, f"strokes over {pixels} pixels", f"at most {limits.max_stroke_pixels} pixels in all"
        )


def draw_strokes(label_map: NDArray[np.uint8], strokes: Sequence[Stroke]) -> NDArray[np.uint8]:
    """Draw checked strokes, in their order.

    Args:
        label_map: The canvas, uint8 `[height, width]`; it is not changed.
        strokes: What `check_strokes` has let pass.

    Returns:
        The canvas with the strokes, uint8 `[height, width]`.
    """
    drawn = label_map.copy()
    height, width = drawn.shape
    for stroke in strokes:
        for segment in _segments(stroke):
            _draw_segment(drawn, segment, stroke)
        for x, y in stroke.points:
            if 0 <= x < width and 0 <= y < height:
                drawn[int(y), int(x)] = stroke.class_id
    return drawn


_Segment = tuple[tuple[float, float], tuple[float, float]]
_Window = tuple[int, int, int, int]


def _check_class(stroke: Stroke, palette_ids: Sequence[int], field: str, *, erasable: bool) -> None:
    if stroke.erase and not erasable:
        raise InvalidArgument(f"{field}.erase", "true", "unset: a label map has a class everywhere")
    if stroke.erase or not palette_ids:
        if stroke.class_id:
            what = "what erases" if stroke.erase else "ink"
            raise InvalidArgument(f"{field}.class_id", stroke.class_id, f"0 (unset): {what} has no class")
    elif stroke.class_id not in palette_ids:
        ids = ", ".join(map(str, palette_ids))
        raise InvalidArgument(f"{field}.class_id", stroke.class_id, f"one of the palette: {ids}")


def _check_shape(stroke: Stroke, field: str, limits: Limits) -> None:
    if not limits.min_stroke_width <= stroke.width <= limits.max_stroke_width:
        raise InvalidArgument(
            f"{field}.width",
            f"{stroke.width:g}",
            f"{limits.min_stroke_width:g} to {limits.max_stroke_width:g} pixels",
        )
    if not stroke.points:
        raise InvalidArgument(f"{field}.points", "no points", "at least 1")
    most = limits.max_stroke_coordinate
    for index, point in enumerate(stroke.points):
        for axis, value in zip("xy", point, strict=True):
            if not -most <= value <= most:  # NaN is not either
                raise InvalidArgument(
                    f"{field}.points[{index}].{axis}", f"{value:g}", f"-{most:g} to {most:g}"
                )


def _segments(stroke: Stroke) -> list[_Segment]:
    points = stroke.points
    return [(points[0], points[0])] if len(points) == 1 else list(pairwise(points))


def _window(segment: _Segment, stroke_width: float, size: tuple[int, int]) -> _Window:
    """The part of the canvas that the brush can reach: left, top, right, bottom."""
    (x0, y0), (x1, y1) = segment
    height, width = size
    radius = stroke_width / 2
    return (
        max(0, math.floor(min(x0, x1) - radius)),
        max(0, math.floor(min(y0, y1) - radius)),
        min(width, math.ceil(max(x0, x1) + radius)),
        min(height, math.ceil(max(y0, y1) + radius)),
    )


def _area(window: _Window) -> int:
    left, top, right, bottom = window
    return max(0, right - left) * max(0, bottom - top)


def _draw_segment(canvas: NDArray[np.uint8], segment: _Segment, stroke: Stroke) -> None:
    window = _window(segment, stroke.width, (canvas.shape[0], canvas.shape[1]))
    if not _area(window):
        return
    left, top, right, bottom = window
    (x0, y0), (x1, y1) = segment
    dx, dy = x1 - x0, y1 - y0
    x = np.arange(left, right) + (0.5 - x0)
    y = (np.arange(top, bottom) + (0.5 - y0))[:, np.newaxis]
    length = dx * dx + dy * dy
    # How far along the segment the nearest point of it lies, 0 to 1.
    along = ((x * dx + y * dy) / length).clip(0.0, 1.0) if length else np.zeros(())
    distance = (x - along * dx) ** 2 + (y - along * dy) ** 2
    canvas[top:bottom, left:right][distance <= (stroke.width / 2) ** 2] = stroke.class_id
