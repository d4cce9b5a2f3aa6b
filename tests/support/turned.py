"""Images that lie as their Exif orientation says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

ORIENTATIONS = range(1, 9)


def lying(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Upright pixels `[height, width, ...]` as a file with this orientation stores them.

    Exif 2.32: the orientation tells on which sides of the image as it is seen the stored image's first
    row and first column lie: 1 top, left; 2 top, right; 3 bottom, right; 4 bottom, left; 5 left, top;
    6 right, top; 7 right, bottom; 8 left, bottom.
    """
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels.swapaxes(0, 1)[::-1],
        7: pixels.swapaxes(0, 1)[::-1, ::-1],
        8: pixels.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    return np.ascontiguousarray(stored)


def exif_of(orientation: int) -> Image.Exif:
    """An Exif block that says nothing else."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def turned_file(pixels: NDArray[np.uint8], orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """A file that is seen as these upright pixels."""
    file = io.BytesIO()
    Image.fromarray(lying(pixels, orientation)).save(file, kind, exif=exif_of(orientation), **options)
    return file.getvalue()
