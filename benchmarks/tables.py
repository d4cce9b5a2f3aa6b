"""Cells and tables of `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def both(row: Mapping[str, Any], *names: str) -> list[str]:
    """Durations of a row, in milliseconds."""
    return [ms(row[name]) for name in names]


def two(part: Mapping[str, Any] | None) -> list[str]:
    """Median and 99th percentile of a part, in milliseconds; empty where there is none."""
    return ["", ""] if part is None else [ms(part["p50"]), ms(part["p99"])]


def ms(seconds: float | None) -> str:
    """A duration in seconds, in milliseconds."""
    return "" if seconds is None else f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def plain(value: float | None) -> str:
    """A number to three digits."""
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, whose first row is its heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]
