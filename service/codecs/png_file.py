"""Takes a PNG file apart and checks it, before anything large is made of it.

Pillow is lenient where this service must not be (it fills missing rows with zeros, leaves IDAT's checksum
unread, stretches greys of less than 8 bits) and generous with its time (it inflates texts and colour profiles
that nobody asked for). So the container is read here, and Pillow is handed a minimal file in which nothing is
left to interpret but the pixels.

Source: PNG specification, third edition (https://www.w3.org/TR/png-3/).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from service.codecs.files import check_size
from service.core.errors import InvalidArgument
from service.core.limits import Limits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
COLOUR_TYPES = {
    GREY: "greyscale",
    RGB: "RGB",
    INDEXED: "palette",
    GREY_ALPHA: "greyscale with alpha",
    RGBA: "RGBA",
}

_CHANNELS = {GREY: 1, RGB: 3, INDEXED: 1, GREY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), INDEXED: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_IHDR_BYTES = 13
_BYTE = 8
_WHOLE = "a complete PNG file"

# Writers make one for every 8 KiB of pixels or more; a file of the largest size has 512 of these.
_MAX_CHUNKS = 4096

# Adam7: x and y of the first pixel of each pass, and the distances between its pixels.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class PngHeader:
    """The header of a file, known to be one that the format has.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        depth: Bits of a channel.
        colour_type: One of `COLOUR_TYPES`.
        interlaced: Whether the pixels come in seven passes.
    """

    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool

    @property
    def inflated_bytes(self) -> int:
        """Size of the pixel data after decompression: a filter byte and the packed pixels per row."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        bits = self.depth * _CHANNELS[self.colour_type]
        total = 0
        for left, top, step_x, step_y in passes:
            columns = -(-(self.width - left) // step_x)
            rows = -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


@dataclass(frozen=True, slots=True)
class PngFile:
    """A file whose chunks were all checked.

    Attributes:
        header: Its header.
        pixels: IDAT's contents, known to inflate to exactly what the size asks for.
        palette: RGB of each index, three bytes each; empty if there is none.
        transparency: tRNS's contents; empty if there is none.
        exif: The Exif block; None if there is none.
        rows: The pixel data, inflated: a filter byte and the packed pixels of each row, of each pass. Empty
            where a pixel takes more than a byte, so that a large image is not held twice.
    """

    header: PngHeader
    pixels: bytes
    palette: bytes
    transparency: bytes
    exif: bytes | None
    rows: bytes

    def stored_values(self) -> NDArray[np.uint8] | None:
        """The values of a file of one channel, if its rows are stored as they are: most label maps' are.

        Returns:
            Indices or greys, uint8 `[height, width]`; None where there is something to undo first.
        """
        header = self.header
        if not self.rows or header.interlaced:
            return None
        rows = np.frombuffer(self.rows, np.uint8).reshape(header.height, -1)
        if rows[:, 0].any():
            return None
        packed = rows[:, 1:]
        if header.depth == _BYTE:
            return packed
        shifts = np.arange(_BYTE - header.depth, -1, -header.depth, dtype=np.uint8)
        values = (packed[:, :, np.newaxis] >> shifts) & np.uint8((1 << header.depth) - 1)
        unpacked: NDArray[np.uint8] = values.reshape(header.height, -1)[:, : header.width]
        return unpacked

    def minimal(self) -> bytes:
        """A file of the same pixels with nothing else in it."""
        header = self.header
        fields = (header.width, header.height, header.depth, header.colour_type, 0, 0, int(header.interlaced))
        chunks = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))]
        chunks += [chunk(b"PLTE", self.palette)] if self.palette else []
        chunks += [chunk(b"tRNS", self.transparency)] if self.transparency else []
        return b"".join((*chunks, chunk(b"IDAT", self.pixels), chunk(b"IEND", b"")))


def read_header(data: bytes, *, field: str, allowed: str) -> PngHeader:
    """Read the header of a file.

    Args:
        data: The file, which begins with the signature.
        field: Path of the field it came in, for the message of a failure.
        allowed: What would be accepted, for that message.

    Raises:
        InvalidArgument: It is cut off, or says what the format has not.
    """
    if len(data) < 33:
        _refuse(field, f"a PNG cut off in its header, after {len(data)} bytes", _WHOLE)
    if data[8:16] != struct.pack(">I", _IHDR_BYTES) + b"IHDR":
        _refuse(field, "a PNG that does not start with its header", _WHOLE)
    width, height, depth, colour_type, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    if colour_type not in COLOUR_TYPES:
        _refuse(field, f"a PNG of the unknown colour type {colour_type}", allowed)
    if depth not in _DEPTHS[colour_type]:
        colour = COLOUR_TYPES[colour_type]
        _refuse(field, f"a PNG of colour type {colour} with {depth} bits per channel", allowed)
    if compression or filtering or interlace > 1:
        _refuse(field, "a PNG with an unknown compression, filter or interlace method", _WHOLE)
    return PngHeader(width, height, depth, colour_type, interlaced=bool(interlace))


def read_png(data: bytes, header: PngHeader, *, field: str, allowed: str, limits: Limits) -> PngFile:
    """Read the rest of a file, checking its size, each checksum, and that the pixels are all there.

    Args:
        data: The file.
        header: Its header.
        field: Path of the field it came in, for the message of a failure.
        allowed: What would be accepted, for that message.
        limits: Bounds of the size in pixels.

    Raises:
        InvalidArgument: It is too large, damaged, cut off or animated, or has too many chunks.
    """
    check_size(header.width, header.height, field=field, limits=limits)
    compressed = bytearray()
    palette = transparency = b""
    exif: bytes | None = None
    position = len(SIGNATURE)
    kind = b""
    chunks = 0
    while kind != b"IEND":
        chunks += 1
        if chunks > _MAX_CHUNKS:
            _refuse(field, f"a PNG with more than {_MAX_CHUNKS} chunks", f"at most {_MAX_CHUNKS}")
        if len(data) - position < 12:
            _refuse(field, f"a PNG cut off after {len(data)} bytes, before its end chunk", _WHOLE)
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if len(data) < end + 4:
            _refuse(field, f"a PNG cut off after {len(data)} bytes, in the chunk {_name(kind)}", _WHOLE)
        if zlib.crc32(data[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            _refuse(field, f"a PNG with a wrong checksum in the chunk {_name(kind)}", _WHOLE)
        match kind:
            case b"acTL":
                _refuse(field, "an animated PNG", allowed)
            case b"IDAT":
                compressed += data[position + 8 : end]
            case b"PLTE":
                palette = data[position + 8 : end]
            case b"tRNS":
                transparency = data[position + 8 : end]
            case b"eXIf":
                exif = data[position + 8 : end]
        position = end + 4
    rows = _inflated(compressed, header.inflated_bytes, field)
    if header.depth * _CHANNELS[header.colour_type] > _BYTE:
        rows = b""
    return PngFile(header, bytes(compressed), palette, transparency, exif, rows)


def _inflated(compressed: bytearray, expected: int, field: str) -> bytes:
    try:
        # One byte more than needed is asked for, so that a bomb is noticed and never inflated.
        inflated = zlib.decompressobj().decompress(compressed, expected + 1)
    except zlib.error:
        _refuse(field, "a PNG with damaged pixel data", _WHOLE)
    if len(inflated) != expected:
        found = "more" if len(inflated) > expected else f"{len(inflated)}"
        _refuse(field, f"a PNG with {found} bytes of pixel data where its size asks for {expected}", _WHOLE)
    return inflated


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a file, with its length and its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _name(kind: bytes) -> str:
    """A chunk's type as text; anything but ASCII letters is shown in hexadecimal."""
    return kind.decode() if kind.isalpha() and kind.isascii() else kind.hex()


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same
