"""Reads the images that callers have: files and bare pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.files import check_size, described, upright
from service.codecs.jpeg_file import check_scans, read_jpeg
from service.codecs.png_file import COLOUR_TYPES, GREY_ALPHA, INDEXED, RGBA, SIGNATURE, read_header, read_png
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_OPAQUE = "a PNG or JPEG of 8 bits per channel: RGB, greyscale or palette, without transparency"
_ANY = "a PNG or JPEG of 8 bits per channel: RGB, greyscale or palette, with or without transparency"
_WITH_ALPHA = (GREY_ALPHA, RGBA)
_JPEG_MODES = ("RGB", "L")
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_MAX_DEPTH = 8
_WHOLE = "a complete PNG or JPEG file"
_RGB = 3
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_BYTES_PER_COLOUR = 3
# Pillow's readers raise what they please for a damaged file.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
)


def decode_image(
    data: bytes, width: int, height: int, *, field: str, limits: Limits = LIMITS
) -> NDArray[np.uint8]:
    """Read an image file of a given size.

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

    def fits(size: tuple[int, int]) -> None:
        _check_exact(size, width, height, field)

    return _read(data, fits, _rgb_of, field, limits)


def decode_any_image(data: bytes, *, field: str, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Read an image file of any size within `limits`.

    Args:
        data: The file.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's and the image's size.

    Returns:
        RGB, uint8 `[height, width, 3]`, turned as the file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG or JPEG, damaged, too large, or with other channels.
    """
    return _read(data, _within(field, limits), _rgb_of, field, limits)


def decode_on_white(data: bytes, *, field: str, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Read an image file of any size within `limits` as greys, on white where it is transparent.

    Args:
        data: The file.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's and the image's size.

    Returns:
        Luma (ITU-R BT.601), uint8 `[height, width]`, turned as the file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG or JPEG, damaged, too large, or with other channels.
    """
    return _read(data, _within(field, limits), _on_white, field, limits, transparent=True)


def _rgb_of(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    return image.convert("L")


def _within(field: str, limits: Limits) -> Callable[[tuple[int, int]], None]:
    def fits(size: tuple[int, int]) -> None:
        check_size(*size, field=field, limits=limits)

    return fits


def _read(
    data: bytes,
    fits: Callable[[tuple[int, int]], None],
    converted: Callable[[Image.Image], Image.Image],
    field: str,
    limits: Limits,
    *,
    transparent: bool = False,
) -> NDArray[np.uint8]:
    if len(data) > limits.max_encoded_bytes:
        raise InvalidArgument(field, f"{len(data)} bytes", f"at most {limits.max_encoded_bytes} bytes")
    allowed = _ANY if transparent else _OPAQUE
    exif: bytes | None = None
    scans = 0
    if data.startswith(SIGNATURE):
        header = read_header(data, field=field, allowed=allowed)
        _check_either_way_up((header.width, header.height), fits)
        if header.depth > _MAX_DEPTH or (header.colour_type in _WITH_ALPHA and not transparent):
            colour = COLOUR_TYPES[header.colour_type]
            _refuse(field, f"a PNG of colour type {colour} with {header.depth} bits per channel", allowed)
        file = read_png(data, header, field=field, allowed=allowed, limits=limits)
        if file.transparency and not transparent:
            _refuse(field, "a PNG with transparency", allowed)
        if header.colour_type == INDEXED and len(file.palette) < _BYTES_PER_COLOUR:
            _refuse(field, "a palette PNG without a palette", _WHOLE)
        readable, form, exif = file.minimal(), "PNG", file.exif
    elif data.startswith(_JPEG_SIGNATURE):
        jpeg = read_jpeg(data, field=field)
        readable, form, exif, scans = jpeg.minimal, "JPEG", jpeg.exif, jpeg.scans
    else:
        _refuse(field, described(data), allowed)
    try:
        # Reads the header only: nothing is made of the pixels before the size is known to be right.
        with Image.open(io.BytesIO(readable), formats=[form]) as image:
            if form == "JPEG":
                _check_either_way_up(image.size, fits)
                if image.mode not in _JPEG_MODES:
                    _refuse(field, f"a JPEG of mode {image.mode}", allowed)
                check_scans(scans, image.size, field=field, limits=limits)
            image.load()
            shown = upright(image, exif)
            fits(shown.size)
            return np.asarray(converted(shown))
    except _TOO_LARGE:
        _refuse(field, "an image that is far too large", f"at most {limits.max_pixels} pixels")
    except _DAMAGED:
        _refuse(field, "an image that is damaged or cut off", _WHOLE)


def _check_either_way_up(size: tuple[int, int], fits: Callable[[tuple[int, int]], None]) -> None:
    """Refuse a size that no quarter turn sets right."""
    try:
        fits(size)
    except InvalidArgument as wrong:
        try:
            fits((size[1], size[0]))
        except InvalidArgument:
            raise wrong from None


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
    _check_exact(size, width, height, field)
    return _rgb(data, width, height, field)


def decode_any_pixels(
    data: bytes, width: int, height: int, *, field: str, limits: Limits = LIMITS
) -> NDArray[np.uint8]:
    """Read bare pixels of any size within `limits`.

    Args:
        data: RGB, row by row.
        width: Width in pixels.
        height: Height in pixels.
        field: Path of the message that holds them, for the message of a failure.
        limits: Bounds of the size.

    Returns:
        RGB, uint8 `[height, width, 3]`.

    Raises:
        InvalidArgument: The size is out of bounds, or `data` has another size.
    """
    check_size(width, height, field=field, limits=limits)
    return _rgb(data, width, height, field)


def resize_image(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize bicubically, smoothing where it is reduced. Pillow computes in integers: the same everywhere.

    Args:
        pixels: RGB, uint8 `[h, w, 3]`.
        width: New width in pixels.
        height: New height in pixels.

    Returns:
        RGB, uint8 `[height, width, 3]`.
    """
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _rgb(data: bytes, width: int, height: int, field: str) -> NDArray[np.uint8]:
    expected = width * height * _RGB
    if len(data) != expected:
        allowed = f"exactly {expected} bytes, RGB for {width} x {height} pixels"
        raise InvalidArgument(f"{field}.data", f"{len(data)} bytes", allowed)
    return np.frombuffer(data, np.uint8).reshape(height, width, _RGB)


def _check_exact(size: tuple[int, int], width: int, height: int, field: str) -> None:
    if size != (width, height):
        raise InvalidArgument(
            field, f"{size[0]} x {size[1]} pixels", f"exactly {width} x {height} pixels, the model's size"
        )


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same
