"""What a file is by its first bytes, for people who sent another than they meant."""

from __future__ import annotations

import re

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
