"""Reads the class ids of a PNG label map, checking the file before anything large is made of it.

Pillow decodes the pixels, because it alone of the usual libraries gives a palette picture's indices
rather than its colours. It is lenient where a label map must not be (it fills missing rows with
zeros, leaves IDAT's checksum unread and stretches greys of less than 8 bits), so this module reads
the container itself and hands Pillow a minimal file in which nothing is left to interpret.

Source: PNG specification, third edition (https://www.w3.org/TR/png-3/).
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.orientation import upright
from service.codecs.size import check_size
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_BYTES = 13
_GREY, _INDEXED = 0, 3
_COLOUR_TYPES = {_GREY: "greyscale", 2: "RGB", _INDEXED: "palette", 4: "greyscale with alpha", 6: "RGBA"}
_DEPTHS = (1, 2, 4, 8)
_ALLOWED = "a PNG with one channel, palette or greyscale without alpha, of at most 8 bits per pixel"
_WHOLE = "a complete PNG file"

# Adam7: x and y of the first pixel of each pass, and the distances between its pixels.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    interlaced: bool

    @property
    def inflated_bytes(self) -> int:
        """Size of the pixel data after decompression: a filter byte and the packed pixels per row."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            columns = -(-(self.width - left) // step_x)
            rows = -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * self.depth + 7) // 8)
        return total


def decode_png(data: bytes, *, field: str, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    """Read a label map from a palette or grey PNG.

    Args:
        data: The file.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's and the picture's size.

    Returns:
        Class ids, uint8 `[height, width]`: palette indices or grey values as stored, turned as the
        file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG, damaged, too large, or not of one channel of at most 8 bits.
    """
    if len(data) > limits.max_encoded_bytes:
        raise InvalidArgument(field, f"{len(data)} bytes", f"at most {limits.max_encoded_bytes} bytes")
    header = _read_header(data, field, limits)
    pixels, exif = _read_pixel_data(data, header, field)
    # Indices and greys are stored alike; as indices, Pillow leaves them as they are at every depth.
    interlace = int(header.interlaced)
    ihdr = struct.pack(">IIBBBBB", header.width, header.height, header.depth, _INDEXED, 0, 0, interlace)
    minimal = _SIGNATURE + _chunk(b"IHDR", ihdr) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    try:
        with Image.open(io.BytesIO(minimal), formats=["PNG"]) as image:
            image.load()
            return np.asarray(image if exif is None else upright(image, exif), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError):  # what is left to be wrong: a row's filter type
        _refuse(field, "pixel data that cannot be decoded", _WHOLE)


def _read_header(data: bytes, field: str, limits: Limits) -> _Header:
    if not data:
        _refuse(field, "0 bytes", _ALLOWED)
    if data[:8] != _SIGNATURE:
        _refuse(field, f"bytes that start with {data[:8].hex(' ')}", _ALLOWED)
    if len(data) < 33:
        _refuse(field, f"a PNG cut off in its header, after {len(data)} bytes", _WHOLE)
    if data[8:16] != struct.pack(">I", _IHDR_BYTES) + b"IHDR":
        _refuse(field, "a PNG that does not start with its header", _WHOLE)
    width, height, depth, colour_type, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    colour = _COLOUR_TYPES.get(colour_type)
    if colour is None:
        _refuse(field, f"a PNG of the unknown colour type {colour_type}", _ALLOWED)
    if colour_type not in (_GREY, _INDEXED) or depth not in _DEPTHS:
        _refuse(field, f"a PNG of colour type {colour} with {depth} bits per channel", _ALLOWED)
    if compression or filtering or interlace > 1:
        _refuse(field, "a PNG with an unknown compression, filter or interlace method", _WHOLE)
    check_size(width, height, field=field, limits=limits)
    return _Header(width, height, depth, interlaced=bool(interlace))


def _read_pixel_data(data: bytes, header: _Header, field: str) -> tuple[bytes, bytes | None]:
    """Walk the chunks, checking each checksum.

    Returns:
        IDAT's contents, known to inflate whole, and the Exif block, None if there is none.
    """
    compressed = bytearray()
    exif: bytes | None = None
    position = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if len(data) - position < 12:
            _refuse(field, f"a PNG cut off after {len(data)} bytes, before its end chunk", _WHOLE)
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if len(data) < end + 4:
            _refuse(field, f"a PNG cut off after {len(data)} bytes, in the chunk {_name(kind)}", _WHOLE)
        if zlib.crc32(data[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            _refuse(field, f"a PNG with a wrong checksum in the chunk {_name(kind)}", _WHOLE)
        if kind == b"acTL":
            _refuse(field, "an animated PNG", _ALLOWED)
        if kind == b"IDAT":
            compressed += data[position + 8 : end]
        if kind == b"eXIf":
            exif = data[position + 8 : end]
        position = end + 4
    expected = header.inflated_bytes
    try:
        # One byte more than needed is asked for, so that a bomb is noticed and never inflated.
        inflated = len(zlib.decompressobj().decompress(bytes(compressed), expected + 1))
    except zlib.error:
        _refuse(field, "a PNG with damaged pixel data", _WHOLE)
    if inflated != expected:
        found = "more" if inflated > expected else f"{inflated}"
        _refuse(field, f"a PNG with {found} bytes of pixel data where its size asks for {expected}", _WHOLE)
    return bytes(compressed), exif


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _name(kind: bytes) -> str:
    """A chunk's type as text; anything but ASCII letters is shown in hexadecimal."""
    return kind.decode() if kind.isalpha() and kind.isascii() else kind.hex()


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same
