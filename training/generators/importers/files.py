"""What every importer does with a file: read it within bounds, and tell what is wrong with it in one line."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 2 << 30
"""More than any published checkpoint, with discriminator and optimisers."""
MAX_MESSAGE = 500


def file_content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        ValueError: if it is none, such as a pipe, which might never end, or too large.
        OSError: if it cannot be read.
    """
    if not path.is_file():
        raise ValueError("is no file")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"has {size} bytes; allowed are {MAX_BYTES}")
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def printable(text: str) -> str:
    """Text with the characters that a terminal would obey, and line ends, spelt out; not too long."""
    spelt = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return spelt if len(spelt) <= MAX_MESSAGE else f"{spelt[:MAX_MESSAGE]} ..."
