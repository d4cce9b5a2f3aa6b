"""Writes PNG files chunk by chunk, the damaged and the unusual ones too."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colour: int = GREY, interlace: int = 0) -> bytes:
    """The signature and the header chunk."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def pack_row(values: Sequence[int], depth: int) -> bytes:
    """A row's filter byte (none) and its pixels, of `depth` bits each."""
    bits = "".join(f"{value:0{depth}b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return bytes([0, *(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))])


def one_channel_png(
    rows: Sequence[Sequence[int]],
    *,
    depth: int = 8,
    colour: int = INDEXED,
    interlace: bool = False,
    extra: bytes = b"",
) -> bytes:
    """A valid PNG of one channel; `extra` chunks come before the pixels."""
    height, width = len(rows), len(rows[0])
    passes = _PASSES if interlace else ((0, 0, 1, 1),)
    packed = b""
    for left, top, step_x, step_y in passes:
        if left < width:
            packed += b"".join(pack_row(row[left::step_x], depth) for row in rows[top::step_y])
    palette = chunk(b"PLTE", bytes(3 * 2**depth)) if colour == INDEXED else b""
    return (
        header(width, height, depth, colour, int(interlace))
        + palette
        + extra
        + chunk(b"IDAT", zlib.compress(packed))
        + chunk(b"IEND")
    )
