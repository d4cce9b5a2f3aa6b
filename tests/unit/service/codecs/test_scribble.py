"""Scribbles against the definition in the proto, pixel by pixel."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from service.codecs.label_map import resize_nearest
from service.codecs.scribble import NOT_DRAWN, draw_scribble, resize_scribble
from service.codecs.strokes import Stroke
from service.core.errors import InvalidArgument
from service.core.limits import Limits

sizes = st.integers(1, 17)
ids = st.sampled_from([0, 1, 2, 254, NOT_DRAWN, NOT_DRAWN, NOT_DRAWN])
scribbles = st.tuples(sizes, sizes).flatmap(lambda shape: arrays(np.uint8, shape, elements=ids))
PALETTE = (0, 1, 2)


def commonest(cell: list[int]) -> int:
    """The commonest drawn id, the lowest of several."""
    drawn = Counter(each for each in cell if each != NOT_DRAWN)
    return min(drawn, key=lambda each: (-drawn[each], each)) if drawn else NOT_DRAWN


@given(scribbles, sizes, sizes)
def test_a_reduced_pixel_takes_the_commonest_class_in_it(
    scribble: NDArray[np.uint8], width: int, height: int
) -> None:
    found = resize_scribble(scribble, width, height)
    rows, columns = min(height, scribble.shape[0]), min(width, scribble.shape[1])
    cells: dict[tuple[int, int], list[int]] = {}
    for y, x in np.ndindex(scribble.shape):
        cell = y * rows // scribble.shape[0], x * columns // scribble.shape[1]
        cells.setdefault(cell, []).append(int(scribble[y, x]))
    reduced = np.array([[commonest(cells[y, x]) for x in range(columns)] for y in range(rows)], np.uint8)
    np.testing.assert_array_equal(found, resize_nearest(reduced, width, height))


def test_a_thin_stroke_of_a_large_image_stays_whole() -> None:
    large = np.full((1000, 1000), NOT_DRAWN, np.uint8)
    large[503] = 1
    assert (resize_scribble(large, 64, 64) == 1).sum() == 64


coordinates = st.floats(-20, 60, width=32)
strokes = st.builds(
    Stroke,
    st.sampled_from(PALETTE),
    st.floats(1, 30, width=32),
    st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=4),
)


@given(st.lists(strokes, min_size=1, max_size=3), sizes, sizes)
def test_any_strokes_are_drawn_or_refused(given_strokes: list[Stroke], width: int, height: int) -> None:
    def draw() -> NDArray[np.uint8]:
        return draw_scribble(given_strokes, PALETTE, (height, width), (8, 8), field="scribble.strokes")

    try:
        drawn = draw()
    except InvalidArgument:
        with pytest.raises(InvalidArgument, match=r"^scribble\.strokes\.strokes: .* leave the canvas empty"):
            draw()
        return
    assert drawn.shape == (8, 8)
    assert set(np.unique(drawn).tolist()) <= {*PALETTE, NOT_DRAWN}
    assert (drawn != NOT_DRAWN).any()


def test_strokes_that_grow_with_the_canvas_keep_to_the_limit() -> None:
    """On a canvas of one pixel they are cheap; at the model's size they would not be."""
    everywhere = [Stroke(1, 1.0, [(0.0, 0.0), (1.0, 1.0)] * 10)]
    limits = Limits(max_stroke_pixels=64 * 64)
    with pytest.raises(InvalidArgument, match=r"strokes over \d+ pixels; allowed: at most 4096"):
        draw_scribble(everywhere, PALETTE, (1, 1), (64, 64), field="f", limits=limits)
