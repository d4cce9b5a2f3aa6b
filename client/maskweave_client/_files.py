"""Files that callers hand over, and images as they are shown."""

from __future__ import annotations

import io
import os

from PIL import Image, ImageOps

File = bytes | bytearray | memoryview | str | os.PathLike[str]
"""A file: its bytes, or where it lies (`str` and `pathlib.Path` are paths)."""

FILES = (bytes, bytearray, memoryview, str, os.PathLike)
"""The types of `File`, for `isinstance`."""

MAX_FILE_BYTES = 256 * 2**20
"""Most that is read of a file: no image that a service takes, even made smaller here, needs more."""

_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
)


def file_bytes(argument: str, file: File) -> bytes:
    """The bytes of a file; `argument` is for messages.

    Raises:
        OSError: It cannot be read. Of the same class as Python's own error, with the path.
        ValueError: It is larger than `MAX_FILE_BYTES`.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        return bytes(file)
    path = os.fspath(file)
    try:
        with open(path, "rb") as opened:  # noqa: PTH123 - a path as text is taken as it is
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise type(error)(error.errno, f"{argument}: {error.strerror}", path) from error
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{argument}: {path} is larger than the {MAX_FILE_BYTES} bytes allowed")
    return data


def format_of(data: bytes) -> str | None:
    """The format of a file by its first bytes, for example `JPEG`; None when it is none that is known."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"heic", b"heix", b"mif1"):
        return "AVIF or HEIC"
    return next((name for magic, name in _FORMATS if data.startswith(magic)), None)


def opened(argument: str, file: File) -> Image.Image:
    """The image of a file, decoded and upright.

    Raises:
        OSError: It cannot be read, or is no image.
        ValueError: It is larger than allowed.
    """
    with Image.open(io.BytesIO(file_bytes(argument, file))) as image:
        image.load()
        return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """An image as it is shown, turned as its Exif orientation says; the service does so with files."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises what it pleases for a damaged block, which then says nothing
        return image
