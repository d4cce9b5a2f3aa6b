"""When requests are due: times in seconds from the begin of a load, ascending. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
"""Seconds from the begin of the load, ascending."""


class TraceError(ValueError):
    """A trace file is not what it has to be."""


def constant(rate: float, seconds: float) -> Times:
    """Requests at equal distances, the first at once.

    Args:
        rate: Requests a second, more than 0.
        seconds: End of the load; times are below it.
    """
    _check(rate, seconds)
    times = np.arange(int(np.ceil(rate * seconds)), dtype=np.float64) / rate
    return times[times < seconds]


def poisson(rate: float, seconds: float, random: np.random.Generator) -> Times:
    """Requests of independent callers, `rate` a second on average.

    Args:
        rate: Requests a second, more than 0.
        seconds: End of the load; times are below it.
        random: Source of the intervals.
    """
    _check(rate, seconds)
    return np.sort(random.uniform(0.0, seconds, random.poisson(rate * seconds)))


def ramp(first_rate: float, last_rate: float, seconds: float) -> Times:
    """Requests whose rate changes linearly, at the times at which their expected number is whole.

    Args:
        first_rate: Requests a second at the begin, at least 0.
        last_rate: Requests a second at the end, at least 0; one of the two is more than 0.
        seconds: End of the load; times are below it.
    """
    if min(first_rate, last_rate) < 0:
        raise ValueError(f"rates of a ramp: got {first_rate:g} to {last_rate:g}; allowed: at least 0")
    _check(max(first_rate, last_rate), seconds)
    slope = (last_rate - first_rate) / seconds
    expected = (first_rate + last_rate) / 2 * seconds
    number = np.arange(int(np.ceil(expected)), dtype=np.float64)
    # The number due by time t is first_rate * t + slope * t^2 / 2. Solved in the form that stays exact for a
    # slope near 0, and that gives 0 for number 0.
    root = np.sqrt(np.maximum(first_rate**2 + 2 * slope * number, 0.0))
    times = np.divide(2 * number, first_rate + root, out=np.zeros_like(number), where=number > 0)
    return times[times < seconds]


def replay(recorded: Iterable[float], *, speed: float = 1.0, seconds: float | None = None) -> Times:
    """The times of a recorded trace, counted from its first.

    Args:
        recorded: Times in seconds, in any order, counted from anything.
        speed: 2 replays in half the time.
        seconds: Where to cut it off.

    Raises:
        ValueError: A time is not finite, or the speed is not more than 0.
    """
    if not speed > 0:
        raise ValueError(f"speed of a trace: got {speed:g}; allowed: more than 0")
    times = np.sort(np.fromiter(recorded, np.float64))
    if not np.isfinite(times).all():
        raise ValueError("times of a trace: got one that is not finite; allowed: finite numbers")
    if times.size:
        times = (times - times[0]) / speed
    return times if seconds is None else times[times < seconds]


def read_trace(path: Path) -> list[float]:
    """Times of a trace file, in seconds: one a line, as a number of seconds or as logs write them (ISO 8601).

    The first column counts, of a CSV file too; a time without a zone is taken for UTC.
    Lines that begin with `#`, empty ones and a heading in the first line are passed over.

    Raises:
        TraceError: It cannot be read, has no times or a line that does not begin with one.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"trace {path}: cannot be read: {error}") from error
    times: list[float] = []
    for number, line in enumerate(lines, start=1):
        field = line.partition(",")[0].strip()
        if not field or field.startswith("#"):
            continue
        try:
            times.append(_seconds(field))
        except ValueError:
            if number == 1:
                continue
            raise TraceError(
                f"trace {path}, line {number}: got {field!r}; allowed: seconds as a number, or a time as "
                "2026-01-31T12:00:00.250Z"
            ) from None
    if not times:
        raise TraceError(f"trace {path}: has no times; needed: one a line")
    return times


def _seconds(field: str) -> float:
    try:
        seconds = float(field)
    except ValueError:
        # Python 3.10 does not know the Z.
        moment = datetime.fromisoformat(field[:-1] + "+00:00" if field.endswith(("Z", "z")) else field)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    if not np.isfinite(seconds):
        raise ValueError(field)
    return seconds


def share(times: Times, part: int, parts: int) -> tuple[Times, NDArray[np.int64]]:
    """What one of several client processes sends, and the numbers of these requests in the whole.

    Every `parts`-th request is one part's, so that all parts together are the schedule and each has its
    shape.
    """
    return times[part::parts], np.arange(part, times.size, parts, dtype=np.int64)


def _check(rate: float, seconds: float) -> None:
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(f"rate: got {rate:g}; allowed: more than 0 requests a second")
    if not (np.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds: got {seconds:g}; allowed: more than 0")
