"""Reads the pictures that callers have: files and bare pixels, of exactly the size that a model reads."""

from __future__ import annotations

import io
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.codecs.orientation import upright
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_FORMATS = ("PNG", "JPEG")
_MODES = ("RGB", "L", "P", "1")
_ALLOWED = "a PNG or JPEG of 8 bits per channel: RGB, greyscale or palette, without transparency"
_WHOLE = "a complete PNG or JPEG file"
_RGB = 3
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def decode_picture(
    data: bytes, width: int, height: int, *, field: str, limits: Limits = LIMITS
) -> NDArray[np.uint8]:
    """Read a picture file of a given size.

    Args:
        data: The file.
        width: The width that it must have, in pixels, once it is upright.
        height: The height that it must have, in pixels, once it is upright.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's size.

    Returns:
        RGB, uint8 `[height, width, 3]`, turned as the file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG or JPEG, damaged, of another size, or with other channels.
    """
    if len(data) > limits.max_encoded_bytes:
        raise InvalidArgument(field, f"{len(data)} bytes", f"at most {limits.max_encoded_bytes} bytes")
    try:
        # Reads the header only: nothing is made of the pixels before the size is known to be right.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.size != (height, width):  # which a quarter turn would set right
                _check_size(image.size, width, height, field)
            if image.mode not in _MODES or "transparency" in image.info:
                _refuse(field, f"a picture of mode {image.mode}{_transparency(image)}", _ALLOWED)
            if image.format == "PNG":
                _verify(data)
            image.load()
            shown = upright(image)
            _check_size(shown.size, width, height, field)
            return np.asarray(shown.convert("RGB"))
    except UnidentifiedImageError:
        _refuse(field, f"{len(data)} bytes that start with {data[:8].hex(' ') or 'nothing'}", _ALLOWED)
    # Pillow's readers raise what they please for a damaged file.
    except (OSError, SyntaxError, ValueError, EOFError, *_TOO_LARGE):
        _refuse(field, "a picture that is damaged, cut off or far too large", _WHOLE)


def _verify(data: bytes) -> None:
    """Check every chunk to the last: reading alone stops where the pixels are complete."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()


def decode_pixels(
    data: bytes, size: tuple[int, int], width: int, height: int, *, field: str
) -> NDArray[np.uint8]:
    """Read bare pixels of a given size.

    Args:
        data: RGB, row by row.
        size: Width and height that they are said to have.
        width: The width that they must have, in pixels.
        height: The height that they must have, in pixels.
        field: Path of the message that holds them, for the message of a failure.

    Returns:
        RGB, uint8 `[height, width, 3]`.

    Raises:
        InvalidArgument: They are of another size.
    """
    _check_size(size, width, height, field)
    expected = width * height * _RGB
    if len(data) != expected:
        allowed = f"exactly {expected} bytes, RGB for {width} x {height} pixels"
        raise InvalidArgument(f"{field}.data", f"{len(data)} bytes", allowed)
    return np.frombuffer(data, np.uint8).reshape(height, width, _RGB)


def _check_size(size: tuple[int, int], width: int, height: int, field: str) -> None:
    if size != (width, height):
        raise InvalidArgument(
            field, f"{size[0]} x {size[1]} pixels", f"exactly {width} x {height} pixels, the model's size"
        )


def _transparency(image: Image.Image) -> str:
    return " with transparency" if "transparency" in image.info else ""


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same
