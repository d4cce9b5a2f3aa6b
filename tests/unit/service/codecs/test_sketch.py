"""Sketches against the definition in the proto, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from service.codecs.sketch import ink_of, resize_ink
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS

sizes = st.integers(1, 23)
sketches = st.tuples(sizes, sizes).flatmap(lambda shape: arrays(np.uint8, shape))


@given(sketches, sizes, sizes)
def test_a_reduced_pixel_takes_the_most_ink_in_it(ink: NDArray[np.uint8], width: int, height: int) -> None:
    old_height, old_width = ink.shape
    found = resize_ink(ink, width, height)
    assert found.shape == (height, width)
    if width <= old_width and height <= old_height:
        wanted = np.zeros((height, width), np.uint8)
        for y, x in np.ndindex(ink.shape):
            cell = y * height // old_height, x * width // old_width
            wanted[cell] = max(wanted[cell], ink[y, x])
        np.testing.assert_array_equal(found, wanted)
    elif width >= old_width and height >= old_height:
        image = Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(found, np.asarray(image))
    assert found.max() <= ink.max()


@given(sketches)
def test_ink_is_what_is_dark_and_every_sketch_is_read_or_refused(greys: NDArray[np.uint8]) -> None:
    if greys.min() > 255 - LIMITS.min_sketch_ink or greys.mean() < 255 - LIMITS.max_mean_sketch_ink:
        with pytest.raises(InvalidArgument, match=r"^sketch\.raw: got a (blank|dark) sketch"):
            ink_of(greys, field="sketch.raw")
    else:
        ink = ink_of(greys, field="sketch.raw")
        np.testing.assert_array_equal(ink, 255 - greys.astype(int))


def test_the_bounds_are_allowed() -> None:
    faintest = np.array([[255, 255 - LIMITS.min_sketch_ink]], np.uint8)
    assert ink_of(faintest, field="f").max() == LIMITS.min_sketch_ink
    darkest = np.full((2, 2), 255 - LIMITS.max_mean_sketch_ink, np.uint8)
    assert ink_of(darkest, field="f").mean() == LIMITS.max_mean_sketch_ink
    with pytest.raises(InvalidArgument, match="a dark sketch"):
        ink_of(darkest - 1, field="f")
