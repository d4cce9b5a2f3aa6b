"""Strokes against the definition in the proto, pixel by pixel."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.codecs.strokes import Stroke, check_strokes, draw_strokes
from service.core.errors import InvalidArgument
from service.core.limits import Limits

HEIGHT, WIDTH = 9, 13
coordinates = st.floats(-6, 20, width=32)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=4)
strokes = st.builds(Stroke, st.integers(1, 3), st.floats(1, 9, width=32), points)


def distance(x: float, y: float, start: tuple[float, float], end: tuple[float, float]) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = min(1.0, max(0.0, ((x - start[0]) * dx + (y - start[1]) * dy) / length)) if length else 0.0
    return math.hypot(x - start[0] - along * dx, y - start[1] - along * dy)


@given(strokes)
def test_pixels_within_half_the_width_of_the_line_are_drawn(stroke: Stroke) -> None:
    drawn = draw_strokes(np.zeros((HEIGHT, WIDTH), np.uint8), [stroke])
    segments = list(pairwise(stroke.points)) or [(stroke.points[0], stroke.points[0])]
    for row in range(HEIGHT):
        for column in range(WIDTH):
            nearest = min(distance(column + 0.5, row + 0.5, *segment) for segment in segments)
            holds_a_point = any(math.floor(x) == column and math.floor(y) == row for x, y in stroke.points)
            if abs(nearest - stroke.width / 2) > 1e-4:  # else rounding decides
                wanted = stroke.class_id if nearest < stroke.width / 2 or holds_a_point else 0
                assert drawn[row, column] == wanted, (row, column)


def test_later_strokes_lie_over_earlier_ones_and_the_canvas_is_left_alone() -> None:
    canvas = np.zeros((4, 4), np.uint8)
    drawn = draw_strokes(canvas, [Stroke(1, 8, [(2, 2)]), Stroke(2, 1, [(0, 0.5), (4, 0.5)])])
    assert drawn[0].tolist() == [2, 2, 2, 2]
    assert (drawn[1:] == 1).all()
    assert not canvas.any()


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (Limits(max_strokes=1), "2 strokes"),
        (Limits(max_stroke_points=3), "4 points"),
        (Limits(max_stroke_pixels=10), "strokes over"),
    ],
)
def test_more_than_allowed_is_refused(limits: Limits, problem: str) -> None:
    two = [Stroke(1, 4, [(0, 0), (5, 5)])] * 2
    check_strokes(two, [1], (HEIGHT, WIDTH), field="strokes")
    with pytest.raises(InvalidArgument, match=problem):
        check_strokes(two, [1], (HEIGHT, WIDTH), field="strokes", limits=limits)
