"""Strokes as a hand draws them, for sessions of Paint. Pure functions.

A hand speeds up and slows down smoothly: along the path, its way over time is the minimum-jerk curve of
Flash and Hogan (1985). Between strokes it pauses; pauses are log-normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SPEED = 0.9
"""Mean speed of a hand, in widths of the canvas a second."""

_PAUSE_MEDIAN = 0.35
_PAUSE_SPREAD = 0.6
_LONGEST_PAUSE = 3.0


@dataclass(frozen=True, eq=False)
class StrokePiece:
    """A piece of a stroke, sent in one update.

    Attributes:
        due: Seconds from the begin of the session at which it is sent.
        class_index: Which class of the palette it draws.
        width: Of the brush, in pixels.
        points: X and y in pixels, float64 `[N, 2]`; the first is the last of the piece before.
    """

    due: float
    class_index: int
    width: float
    points: NDArray[np.float64]


def draw(
    random: np.random.Generator,
    *,
    seconds: float,
    updates_per_second: float,
    width: int,
    height: int,
    classes: int,
    samples_per_update: int = 2,
) -> list[StrokePiece]:
    """A session's strokes.

    Args:
        random: Decides them.
        seconds: How long the session draws; pieces are due before.
        updates_per_second: How many pieces a stroke is cut into, in a second of drawing.
        width: Of the canvas.
        height: Of the canvas.
        classes: How many classes the palette has.
        samples_per_update: Points of the pointer in one piece, as its device tells them.
    """
    pieces: list[StrokePiece] = []
    time = 0.0
    size = np.array([width, height], np.float64)
    while time < seconds:
        path = _path(random) * size
        length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) / width
        duration = max(0.15, length / _SPEED * float(random.uniform(0.7, 1.4)))
        updates = max(1, round(duration * updates_per_second))
        points = _by_hand(path, updates * samples_per_update + 1)
        class_index = int(random.integers(classes))
        brush = float(random.uniform(0.02, 0.1)) * min(width, height)
        for number in range(updates):
            due = time + (number + 1) * duration / updates
            if due >= seconds:
                return pieces
            first = number * samples_per_update
            pieces.append(
                StrokePiece(due, class_index, max(brush, 1.0), points[first : first + samples_per_update + 1])
            )
        pause = _PAUSE_MEDIAN * float(np.exp(_PAUSE_SPREAD * random.standard_normal()))
        time += duration + min(pause, _LONGEST_PAUSE)
    return pieces


def _path(random: np.random.Generator) -> NDArray[np.float64]:
    """A smooth way over the unit square, float64 `[64, 2]`: a cubic Bézier curve between nearby points."""
    start = random.uniform(0.15, 0.85, 2)
    end = np.clip(start + random.normal(0, 0.25, 2), 0.02, 0.98)
    bends = [start + (end - start) * at + random.normal(0, 0.08, 2) for at in (1 / 3, 2 / 3)]
    t = np.linspace(0, 1, 64)[:, None]
    weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    return sum((w * p for w, p in zip(weights, (start, *bends, end), strict=True)), np.zeros((64, 2)))


def _by_hand(path: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """Points of a path at equal times, slow at both ends, float64 `[points, 2]`."""
    t = np.linspace(0, 1, points)
    way = 10 * t**3 - 15 * t**4 + 6 * t**5
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    places = way * lengths[-1]
    return np.stack([np.interp(places, lengths, path[:, axis]) for axis in (0, 1)], axis=1)
