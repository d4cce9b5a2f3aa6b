"""Numbers as text."""

from __future__ import annotations

import math
from collections.abc import Collection


def milliseconds(seconds: float | None) -> str:
    """A duration in milliseconds to three digits, without the unit; a dash for none."""
    if seconds is None or math.isnan(seconds):
        return "-"
    value = seconds * 1e3
    return (
        f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}".replace(",", " ")
    )


def duration(seconds: float) -> str:
    """A duration with its unit."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.001 else f"{seconds * 1e6:.3g} µs"


def rate(per_second: float) -> str:
    """A rate to three digits, without the unit."""
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.3g}"


def share(part: float) -> str:
    """A share as percent."""
    if part == 0:
        return "0"
    return f"{part:.2%}" if part >= 0.0001 else "< 0.01%"


def change(ratio: float) -> str:
    """A ratio as percent more or less."""
    if math.isnan(ratio):
        return "-"
    if ratio > 10:
        return "> 10 times"
    percent = (ratio - 1) * 100
    return f"{percent:+.0f} %" if abs(percent) >= 10 else f"{percent:+.1f} %"


def points(difference: float) -> str:
    """A difference of shares, in percentage points."""
    return f"{difference * 100:+.2f} pp"


def pairs(numbers: Collection[int]) -> str:
    """What was compared, from how many pairs of repeats there were at each load."""
    fewest, most = min(numbers), max(numbers)
    if fewest == most:
        return f"From {most} pair{'s' if most != 1 else ''} of repeats at each load"
    single = "; a single pair tells nothing" if fewest == 1 else ""
    return f"From {fewest} to {most} pairs of repeats at a load{single}"
