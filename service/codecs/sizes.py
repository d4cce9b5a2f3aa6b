"""Sizes in pixels: their bounds, and how many pixels become few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits


def check_size(width: int, height: int, *, field: str, limits: Limits = LIMITS) -> None:
    """Refuse a size in pixels that is outside `limits`.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        field: Path of the field that has (or holds) the size, for the message of a failure.
        limits: The bounds.

    Raises:
        InvalidArgument: A side or the area is out of bounds.
    """
    sides = range(limits.min_side, limits.max_side + 1)
    if width not in sides or height not in sides or width * height > limits.max_pixels:
        raise InvalidArgument(
            field,
            f"{width} x {height} pixels",
            f"{limits.min_side} to {limits.max_side} pixels a side and at most {limits.max_pixels} in all",
        )


def first_of_cells(size: int, cells: int) -> NDArray[np.intp]:
    """The first pixel of each cell, when `size` pixels are divided into `cells`, at most as many.

    Pixel i lies in cell floor(i * cells / size).
    """
    return -(-np.arange(cells) * size // cells)


def cell_of_pixels(size: int, cells: int) -> NDArray[np.intp]:
    """The cell of each pixel, by the same division."""
    return np.arange(size) * cells // size
