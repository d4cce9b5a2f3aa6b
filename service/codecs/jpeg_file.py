"""Bounds the work that a JPEG file asks for, before it is decoded.

Each scan of a progressive file goes over the whole image, and a scan can be a few bytes: a file of half a
megabyte can ask for forty thousand. Readers of metadata take their time over hundreds of thousands of small
segments. A decoder in the middle of either cannot be interrupted.

Source: ITU-T T.81, annex B (https://www.w3.org/Graphics/JPEG/itu-t81.pdf).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.core.errors import InvalidArgument
from service.core.limits import Limits

_MAX_SEGMENTS = 2048
"""Tables, comments and application data of the largest cameras are a few dozen."""

_MAX_SCANS = 64
"""Encoders write 3 to 12."""

_MAX_SCANNED_SIZES = 16
"""Scans of an image of the largest size; of smaller ones as many more, up to the number above."""

_MAX_PADDING = 4096
"""Bytes that may stand between segments and mean nothing."""

_SCAN, _END, _EXIF, _COMMENT = 0xDA, 0xD9, 0xE1, 0xFE
_OF_COLOURS = (0xE0, 0xEE)
"""Application data that say how colours are stored: JFIF's and Adobe's."""
_APPLICATION = range(0xE0, 0xF0)
_EXIF_PREFIX = b"Exif\0\0"
_SIGNATURE = b"\xff\xd8"

# In a scan 0xFF is data if 0x00 follows, and a restart marker if 0xD0 to 0xD7; another 0xFF is padding.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A file whose segments were counted.

    Attributes:
        minimal: The same image without comments and without application data, but for those that say how
            colours are stored.
        exif: Its first Exif block; None if it has none.
        scans: How often a decoder goes over the image.
    """

    minimal: bytes
    exif: bytes | None
    scans: int


def read_jpeg(data: bytes, *, field: str) -> JpegFile:
    """Take a file apart, as far as it makes sense; what is damaged is left to the decoder.

    Args:
        data: The file, which begins with the signature.
        field: Path of the field it came in, for the message of a failure.

    Raises:
        InvalidArgument: It has too many scans or segments, or too much padding.
    """
    kept: list[bytes | memoryview] = [_SIGNATURE]
    view, exif, scans, end = memoryview(data), None, 0, 2
    for number, (marker, start, end) in enumerate(_segments(data, field)):
        if number >= _MAX_SEGMENTS:
            raise InvalidArgument(
                field, f"a JPEG with more than {_MAX_SEGMENTS} segments", f"at most {_MAX_SEGMENTS}"
            )
        scans += marker == _SCAN
        if scans > _MAX_SCANS:
            raise InvalidArgument(field, f"a JPEG with more than {_MAX_SCANS} scans", f"at most {_MAX_SCANS}")
        if marker == _EXIF and exif is None and data.startswith(_EXIF_PREFIX, start + 4):
            exif = data[start + 4 : end]
        if marker in _OF_COLOURS or (marker not in _APPLICATION and marker != _COMMENT):
            kept.append(view[start:end])
    kept.append(view[end:])
    return JpegFile(b"".join(kept), exif, scans)


def check_scans(scans: int, size: tuple[int, int], *, field: str, limits: Limits) -> None:
    """Refuse a file whose scans take long for its size.

    Args:
        scans: How many there are.
        size: Width and height in pixels, as its header says.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the size.

    Raises:
        InvalidArgument: There are too many.
    """
    most = _MAX_SCANNED_SIZES * limits.max_pixels // max(1, size[0] * size[1])
    if scans > most:
        raise InvalidArgument(
            field,
            f"a JPEG with more than {most} scans",
            f"at most {most} scans for {size[0]} x {size[1]} pixels",
        )


def _segments(data: bytes, field: str) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, scans with their data, as long as the file makes sense."""
    position, padding = 2, 0
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:
            position, padding = position + 1, padding + 1
            if padding > _MAX_PADDING:
                raise InvalidArgument(
                    field, f"a JPEG with more than {_MAX_PADDING} bytes of padding", f"at most {_MAX_PADDING}"
                )
            continue
        if marker == _END:
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _SCAN:
            found = _MARKER_IN_SCAN.search(data, end)
            end = len(data) if found is None else found.start()
        yield marker, position, min(end, len(data))
        position = end
