"""Blends an edited image into the original: whole where something changed, not at all far from there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def blend(
    original: NDArray[np.uint8], edited: NDArray[np.uint8], changed: NDArray[np.bool_], width: float
) -> NDArray[np.uint8]:
    """Take the edited image where something changed, and fade it out around.

    Args:
        original: RGB, uint8 `[height, width, 3]`.
        edited: Of the same shape.
        changed: Which pixels changed, `[height, width]`.
        width: Width of the soft edge in pixels.

    Returns:
        RGB, uint8 `[height, width, 3]`; the original's own values beyond the edge.
    """
    share = shares(changed, width)[..., np.newaxis]
    mixed = original + share * (edited.astype(np.float64) - original)
    return np.rint(mixed).astype(np.uint8)


def shares(changed: NDArray[np.bool_], width: float) -> NDArray[np.float64]:
    """How much of the edited image each pixel gets: 1 where it changed, half a cosine down to 0 around.

    Args:
        changed: Which pixels changed, `[height, width]`.
        width: Distance in pixels from which on the share is 0; below 1 there is no edge.

    Returns:
        `[height, width]`, in [0, 1].
    """
    reach = math.ceil(width)
    squares = np.where(changed, 0.0, np.inf)
    # The distance to the nearest changed pixel: along rows first, then, of what was found, along columns.
    for axis in (1, 0):
        squares = _nearest(squares, reach, axis)
    distance = np.sqrt(squares)
    near = distance < max(width, 1.0)
    fading: NDArray[np.float64] = 0.5 + 0.5 * np.cos(np.pi * np.where(near, distance, 0.0) / max(width, 1.0))
    return np.where(near, fading, 0.0)


def _nearest(squares: NDArray[np.float64], reach: int, axis: int) -> NDArray[np.float64]:
    """The least of squared distance along an axis plus what is there, at most `reach` pixels away."""
    size = squares.shape[axis]
    moved = np.moveaxis(squares, axis, 0)
    least = moved.copy()
    for step in range(1, min(reach, size - 1) + 1):
        np.minimum(least[step:], moved[:-step] + step * step, out=least[step:])
        np.minimum(least[:-step], moved[step:] + step * step, out=least[:-step])
    return np.moveaxis(least, 0, axis)
