"""Turns images upright that say in their Exif block how they lie."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType

from PIL import ExifTags, Image

# Pillow warns of damaged blocks in words that callers choose: noise in the log, and Python keeps each.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

# From orientation (Exif 2.32, tag 0x0112) to what sets it right; 1 is upright.
_MAX_EXIF_BYTES = 65_536
"""What a JPEG file can have; the reader takes its time over more."""

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
