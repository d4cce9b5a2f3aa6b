"""Writes label maps as the contract's encodings."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COLOURS = 256


def write_palette_png(ids: NDArray[np.uint8], colour_of_id: Mapping[int, tuple[int, int, int]]) -> bytes:
    """Write a palette PNG whose pixel values are the ids; the same label map always gives the same bytes.

    Args:
        ids: uint8 `[height, width]`.
        colour_of_id: Red, green, blue, 0 to 255; ids without one are black.
    """
    colours = np.zeros((_COLOURS, 3), np.uint8)
    for class_id, colour in colour_of_id.items():
        colours[class_id] = colour
    image = Image.fromarray(ids, "P")
    image.putpalette(colours[: max(colour_of_id, default=0) + 1].tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def run_lengths(ids: NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    """The class of each run of equal pixels and how many they are, row by row over the ends of rows.

    Args:
        ids: uint8 `[height, width]`, not empty.
    """
    flat = ids.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    return flat[starts].tolist(), lengths.tolist()
