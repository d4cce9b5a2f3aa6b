"""What all files of images have in common: a format by the first bytes, a size in pixels, an orientation."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_SHOWN_BYTES = 8

_FORMATS = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\x89PNG\r\n\x1a\n", "a PNG file"),
        (rb"\xff\xd8\xff", "a JPEG file"),
        (rb"GIF8[79]a", "a GIF file"),
        (rb"RIFF....WEBP", "a WebP file"),
        (rb"II\*\0|MM\0\*", "a TIFF file"),
        (rb"BM", "a BMP file"),
        (rb"....ftyp", "a HEIF, AVIF or MP4 file"),
        (rb"%PDF-", "a PDF file"),
    )
)


def described(data: bytes) -> str:
    """Call a file by its name: its format where it is a known one, else its size and first bytes."""
    for pattern, name in _FORMATS:
        if pattern.match(data):
            return name
    start = f" that start with {data[:_SHOWN_BYTES].hex(' ')}" if data else ""
    return f"{len(data)} bytes{start}"


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


# Pillow warns of damaged blocks in words that callers choose: noise in the log, and Python keeps each.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

_MAX_EXIF_BYTES = 65_536
"""What a JPEG file can have; the reader takes its time over more."""

# From orientation (Exif 2.32, tag 0x0112) to what sets it right; 1 is upright.
_TURNS: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)


def upright(image: Image.Image, exif: bytes | None) -> Image.Image:
    """An image as its orientation says that it is to be seen.

    Args:
        image: The image, loaded.
        exif: The file's Exif block; None if it has none. Other metadata (XMP) does not count.

    Returns:
        The same image where there is no orientation, or none that can be read: a damaged block is no reason
        to refuse an image.
    """
    if not exif or len(exif) > _MAX_EXIF_BYTES:
        return image
    try:
        block = Image.Exif()
        block.load(exif)
        turn = _TURNS.get(block.get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's reader raises what it pleases, and every byte is the caller's
        return image
    return image if turn is None else image.transpose(turn)
