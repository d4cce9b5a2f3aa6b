"""Scribbles: a few drawn pixels of a label map, exactly as the proto's `Scribble` says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.codecs.files import cell_of_pixels, check_size, first_of_cells
from service.codecs.label_map import check_ids, listed, resize_nearest
from service.codecs.strokes import Stroke, check_stroke_pixels, check_strokes, draw_strokes
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

NOT_DRAWN = 255
"""Id of the pixels that are not drawn."""
_IDS = 256


def check_scribble_ids(ids: NDArray[np.uint8], palette_ids: Sequence[int], *, field: str) -> None:
    """Refuse a scribble as an image when it has an unknown class; it may be empty.

    Args:
        ids: Class ids or `NOT_DRAWN`, uint8 `[height, width]`.
        palette_ids: The ids of the palette.
        field: Path of the field it came in, for the message of a failure.

    Raises:
        InvalidArgument: A pixel has another id.
    """

    def allowed() -> str:
        return f"class ids {listed(palette_ids)}, and {NOT_DRAWN} where nothing is drawn"

    check_ids(ids, (*palette_ids, NOT_DRAWN), "class", allowed, field=field)


def check_drawn(
    ids: NDArray[np.uint8], *, field: str, value: str = f"a scribble of {NOT_DRAWN} alone"
) -> None:
    """Refuse a scribble of which nothing is drawn.

    Args:
        ids: Class ids or `NOT_DRAWN`, uint8 `[height, width]`.
        field: Path of the field it came in, for the message of a failure.
        value: What it is.

    Raises:
        InvalidArgument: No pixel is drawn.
    """
    if (ids == NOT_DRAWN).all():
        raise InvalidArgument(field, value, "at least one drawn pixel")


def draw_scribble(
    strokes: Sequence[Stroke],
    palette_ids: Sequence[int],
    canvas: tuple[int, int],
    size: tuple[int, int],
    *,
    field: str,
    limits: Limits = LIMITS,
) -> NDArray[np.uint8]:
    """Check strokes and draw them on an empty canvas of the model's size.

    Args:
        strokes: The strokes, in pixels of the caller's canvas.
        palette_ids: The ids of the palette.
        canvas: Height and width of the caller's canvas.
        size: Height and width at which the model reads.
        field: Path of the message that holds the list `strokes`, for the message of a failure.
        limits: The bounds.

    Returns:
        Class ids or `NOT_DRAWN`, uint8 `size`.

    Raises:
        InvalidArgument: The canvas or a stroke is not allowed, there are too many strokes, or none touches
            the canvas.
    """
    check_size(canvas[1], canvas[0], field=field, limits=limits)
    field = f"{field}.strokes"
    check_strokes(strokes, palette_ids, canvas, field=field, limits=limits, erasable=True)
    scaled = [_scaled(stroke, size[1] / canvas[1], size[0] / canvas[0]) for stroke in strokes]
    check_stroke_pixels(scaled, size, field=field, limits=limits)
    drawn = draw_strokes(np.full(size, NOT_DRAWN, np.uint8), with_ids(scaled))
    check_drawn(drawn, field=field, value="strokes that leave the canvas empty")
    return drawn


def with_ids(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Checked strokes as they are drawn on a scribble: those that erase draw `NOT_DRAWN`."""
    return [replace(stroke, class_id=NOT_DRAWN) if stroke.erase else stroke for stroke in strokes]


def resize_scribble(ids: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize a scribble: what most drawn pixels of a cell have where it is reduced, else the nearest pixel.

    Args:
        ids: Class ids or `NOT_DRAWN`, uint8 `[h, w]`.
        width: New width in pixels.
        height: New height in pixels.

    Returns:
        Class ids or `NOT_DRAWN`, uint8 `[height, width]`.
    """
    rows, columns = min(height, ids.shape[0]), min(width, ids.shape[1])
    if (rows, columns) != ids.shape:
        ids = _commonest(ids, rows, columns)
    return resize_nearest(ids, width, height)


def _commonest(ids: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """The commonest drawn id of each cell, uint8 `[rows, columns]`; the lowest of several."""
    reduced = np.empty((rows, columns), np.uint8)
    slots = cell_of_pixels(ids.shape[1], columns) * _IDS
    # Row by row of cells, so that a large image takes little memory.
    for row, (top, bottom) in enumerate(pairwise((*first_of_cells(ids.shape[0], rows), ids.shape[0]))):
        counts = np.bincount((slots + ids[top:bottom]).ravel(), minlength=columns * _IDS)
        drawn = counts.reshape(columns, _IDS)[:, :NOT_DRAWN]
        reduced[row] = np.where(drawn.any(axis=1), drawn.argmax(axis=1), NOT_DRAWN)
    return reduced


def _scaled(stroke: Stroke, across: float, down: float) -> Stroke:
    width = max(1.0, stroke.width * math.sqrt(across * down))
    return replace(stroke, width=width, points=[(x * across, y * down) for x, y in stroke.points])
