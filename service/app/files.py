"""Tells whether files have changed, also when they are mounted secrets, whose changes are swaps of links."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[int, ...] | None, ...]
"""Of each file what changes with its content; None for one that is not there."""


def stamp(paths: Iterable[Path]) -> Stamp:
    """The state of files, to compare with a later one."""
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()  # of the file at the end of all links
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
