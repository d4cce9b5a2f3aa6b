"""Strokes of a scribble: their forms, at the resolution they were thought out on or many times finer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.conditions.readers import NOT_DRAWN

Labels = NDArray[np.uint8]
Region = NDArray[np.bool_]
Points = NDArray[np.float64]
CURVE_POINTS = 12
Place = tuple[int, int, Region]
"""First row, first column, and what is drawn from there on; parts of it may lie outside of the map."""


class Form(Protocol):
    """What a pen leaves."""

    def at(self, scale: int, shape: tuple[int, ...]) -> Place:
        """Drawn `scale` times as fine as the map of this shape that it was thought out on."""


@dataclass(frozen=True)
class Curve:
    """A quadratic Bezier curve from `start` by way of `middle` to `end`, points (x, y)."""

    start: Points
    middle: Points
    end: Points
    width: int

    def at(self, scale: int, shape: tuple[int, ...]) -> Place:
        """See `Form`."""
        t = np.linspace(0, 1, CURVE_POINTS * (1 if scale == 1 else 4))[:, None]
        points = (1 - t) ** 2 * self.start + 2 * t * (1 - t) * self.middle + t**2 * self.end
        if scale == 1:
            return 0, 0, _line(points, self.width, shape[1], shape[0])
        points, width = points * scale + (scale - 1) / 2, self.width * scale
        left, top = (np.floor(points.min(0)).astype(int) - width).tolist()
        across, down = (np.ceil(points.max(0)).astype(int) + width + 1 - (left, top)).tolist()
        return top, left, _line(points - (left, top), width, across, down)


@dataclass(frozen=True)
class Dab:
    """A round spot about (x, y)."""

    x: float
    y: float
    width: int

    def at(self, scale: int, shape: tuple[int, ...]) -> Place:
        """See `Form`."""
        radius = max(0.8, 0.8 * self.width) * scale
        x, y = ((value + 0.5) * scale - 0.5 for value in (self.x, self.y))
        top, left = int(y - radius) - 1, int(x - radius) - 1
        side = int(2 * radius) + 4
        rows, columns = np.indices((side, side))
        return top, left, np.hypot(rows + top - y, columns + left - x) <= radius


@dataclass(frozen=True)
class Area:
    """Any pixels of the map that it was thought out on."""

    mask: Region

    def at(self, scale: int, shape: tuple[int, ...]) -> Place:
        """See `Form`."""
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        if not len(rows):
            return 0, 0, self.mask[:0, :0]
        box = self.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return int(rows[0]) * scale, int(columns[0]) * scale, _repeated(box, scale)


@dataclass(frozen=True, eq=False)
class Stroke:
    """A form, and where of it ink stays.

    Attributes:
        form: what the pen does.
        allowed: where, at the resolution that it was thought out on.
        overshoots: whether it may leave its region, within `allowed`.
        shift: rows and columns that the whole form is shifted by; what leaves the map comes in opposite.
    """

    form: Form
    allowed: Region
    overshoots: bool = False
    shift: tuple[int, int] = (0, 0)

    @cached_property
    def mask(self) -> Region:
        """The pixels drawn on, at the resolution that it was thought out on."""
        whole = np.zeros(self.allowed.shape, bool)
        _paste(whole, self.form.at(1, whole.shape))
        return np.roll(whole, self.shift, (0, 1)) & self.allowed


def lay(strokes: Iterable[tuple[int, Stroke]], labels: Labels, scale: int) -> Labels:
    """Strokes of classes on a label map `scale` times as fine as what they were thought out on."""
    drawn = np.full(labels.shape, NOT_DRAWN, np.uint8)
    for one, stroke in strokes:
        top, left, mask = stroke.form.at(scale, stroke.allowed.shape)
        top, left = top + stroke.shift[0] * scale, left + stroke.shift[1] * scale
        box = _within(top, left, mask, labels.shape)
        if box is None:
            continue
        rows, columns, inside = box
        if stroke.overshoots:
            coarse = np.ix_(
                np.arange(rows.start, rows.stop) // scale, np.arange(columns.start, columns.stop) // scale
            )
            allowed = stroke.allowed[coarse]
        else:
            allowed = labels[rows, columns] == one
        drawn[rows, columns][inside & allowed] = one
    return drawn


def _line(points: Points, width: int, across: int, down: int) -> Region:
    image = Image.new("1", (across, down))
    ImageDraw.Draw(image).line([*map(tuple, points.tolist())], fill=1, width=width, joint="curve")
    return np.array(image)


def _repeated(mask: Region, scale: int) -> Region:
    return mask.repeat(scale, 0).repeat(scale, 1)


def _paste(whole: Region, place: Place) -> None:
    if (box := _within(*place, whole.shape)) is not None:
        rows, columns, inside = box
        whole[rows, columns] |= inside


def _within(
    top: int, left: int, mask: Region, shape: tuple[int, ...]
) -> tuple[slice, slice, NDArray[Any]] | None:
    """The part of a mask that lies within a map, and where; None if none does."""
    rows = slice(max(0, top), min(shape[0], top + mask.shape[0]))
    columns = slice(max(0, left), min(shape[1], left + mask.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns, mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
