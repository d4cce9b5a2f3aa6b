"""Bounds the work that a JPEG file asks for, before it is decoded.

Each scan of a progressive file goes over the whole image, and a scan can be a few bytes: a file of half a
megabyte can ask for forty thousand. A decoder in the middle of that cannot be interrupted.

Source: ITU-T T.81, annex B (https://www.w3.org/Graphics/JPEG/itu-t81.pdf).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.core.errors import InvalidArgument
from service.core.limits import Limits

_MAX_SEGMENTS = 2048
"""Tables, comments and application data of the largest cameras are a few dozen."""

_MAX_SCANS = 64
"""Encoders write 3 to 12."""

_MAX_SCANNED_SIZES = 16
"""Scans of an image of the largest size; of smaller ones as many more, up to the number above."""

_SCAN, _END = 0xDA, 0xD9

# In a scan 0xFF is data if 0x00 follows, and a restart marker if 0xD0 to 0xD7; another 0xFF is padding.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def check_work(data: bytes, size: tuple[int, int], *, field: str, limits: Limits) -> None:
    """Refuse a file that takes long to decode for its size. What is damaged is left to the decoder.

    Args:
        data: The file.
        size: Width and height in pixels, as its header says.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the size.

    Raises:
        InvalidArgument: It has too many scans or segments.
    """
    pixels = max(1, size[0] * size[1])
    most = min(_MAX_SCANS, _MAX_SCANNED_SIZES * limits.max_pixels // pixels)
    scans = 0
    for number, marker in enumerate(_markers(data)):
        if number >= _MAX_SEGMENTS:
            raise InvalidArgument(
                field, f"a JPEG with more than {_MAX_SEGMENTS} segments", f"at most {_MAX_SEGMENTS}"
            )
        scans += marker == _SCAN
        if scans > most:
            raise InvalidArgument(
                field,
                f"a JPEG with more than {most} scans",
                f"at most {most} scans for {size[0]} x {size[1]} pixels",
            )


def _markers(data: bytes) -> Iterator[int]:
    """The marker of each segment, until the end of the image or of what makes sense."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        yield marker
        if marker == _END:
            return
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _SCAN:
            found = _MARKER_IN_SCAN.search(data, position)
            if found is None:
                return
            position = found.start()
