"""Sketches: dark ink on a light ground to the ink that models read, exactly as the proto's `Sketch` says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.files import first_of_cells
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

FULL_INK = 255
"""Ink of black."""


def ink_of(greys: NDArray[np.uint8], *, field: str, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Read the ink off a sketch, and refuse one without, or one that is drawn in light on dark.

    Args:
        greys: uint8 `[height, width]`, 0 for black.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the ink.

    Returns:
        Ink, uint8 `[height, width]`, 0 for none.

    Raises:
        InvalidArgument: There is too little ink, or too much.
    """
    ink: NDArray[np.uint8] = FULL_INK - greys
    most, mean = int(ink.max()), float(ink.mean())
    if most < limits.min_sketch_ink:
        raise InvalidArgument(
            field,
            f"a blank sketch: its darkest pixel has {most} of {FULL_INK} ink",
            f"at least {limits.min_sketch_ink}: dark lines on a light or transparent ground",
        )
    if mean > limits.max_mean_sketch_ink:
        raise InvalidArgument(
            field,
            f"a dark sketch: its pixels have {mean:.0f} of {FULL_INK} ink on average",
            f"at most {limits.max_mean_sketch_ink}: dark lines on a light or transparent ground",
        )
    return ink


def resize_ink(ink: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize a sketch: the most ink of each cell where it is reduced, bilinear where it is enlarged.

    The mean would fade a thin line of a large drawing to what the mapper takes for noise.

    Args:
        ink: uint8 `[h, w]`.
        width: New width in pixels.
        height: New height in pixels.

    Returns:
        Ink, uint8 `[height, width]`.
    """
    for axis, size in enumerate((height, width)):
        if size < ink.shape[axis]:
            ink = np.maximum.reduceat(ink, first_of_cells(ink.shape[axis], size), axis)
    # Pillow computes in integers: the same everywhere.
    return np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
