"""Small files that operators provide: read whole, and told apart from what they were before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[int, ...] | None, ...]
"""Of each file what changes with its content; None for one that is not there."""


def stamp(paths: Iterable[Path]) -> Stamp:
    """The state of files, to compare with a later one; that of the files at the end of all links."""
    return tuple(map(_stamp, paths))


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a small file.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than allowed.
    """
    # Without waiting for the other end, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(0, f"it has more than {max_bytes} bytes")
    return content


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
