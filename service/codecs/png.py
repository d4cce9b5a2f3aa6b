"""Reads the class ids of a PNG label map: indices and greys as they are stored."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.orientation import upright
from service.codecs.png_file import COLOUR_TYPES, GREY, INDEXED, SIGNATURE, read_header, read_png
from service.codecs.signatures import described
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_ALLOWED = "a PNG with one channel, palette or greyscale without alpha, of at most 8 bits per pixel"
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PngIds:
    """A map of ids from a file.

    Attributes:
        ids: uint8 `[height, width]`.
        palette: The colours of the ids as the file has them, uint8 `[colours, 3]`; None for greys.
    """

    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8] | None


def decode_png(data: bytes, *, field: str, limits: Limits = LIMITS) -> PngIds:
    """Read a map of ids from a palette or grey PNG.

    Args:
        data: The file.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's and the image's size.

    Returns:
        Palette indices or grey values as stored, turned as the file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG, damaged, too large, or not of one channel of at most 8 bits.
    """
    if len(data) > limits.max_encoded_bytes:
        raise InvalidArgument(field, f"{len(data)} bytes", f"at most {limits.max_encoded_bytes} bytes")
    if not data.startswith(SIGNATURE):
        _refuse(field, described(data), _ALLOWED)
    header = read_header(data, field=field, allowed=_ALLOWED)
    if header.colour_type not in (GREY, INDEXED) or header.depth > _MAX_DEPTH:
        colour = COLOUR_TYPES[header.colour_type]
        _refuse(field, f"a PNG of colour type {colour} with {header.depth} bits per channel", _ALLOWED)
    file = read_png(data, header, field=field, allowed=_ALLOWED, limits=limits)
    try:
        with Image.open(io.BytesIO(file.minimal(as_indices=True)), formats=["PNG"]) as image:
            image.load()
            ids = np.asarray(upright(image, file.exif), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError):  # what is left to be wrong: a row's filter type
        _refuse(field, "pixel data that cannot be decoded", "a complete PNG file")
    if header.colour_type != INDEXED:
        return PngIds(ids, None)
    colours = len(file.palette) // 3
    palette = np.frombuffer(file.palette[: colours * 3], np.uint8).reshape(colours, 3)
    return PngIds(ids, palette)


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same
