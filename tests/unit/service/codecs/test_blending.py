"""Soft edges around what changed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.codecs.blending import blend, shares

sides = st.integers(1, 12)
widths = st.floats(0, 64)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images of the same size, and where something changed."""
    height, width = draw(sides), draw(sides)
    images = [draw(arrays.arrays(np.uint8, (height, width, 3))) for _ in range(2)]
    return images[0], images[1], draw(arrays.arrays(np.bool_, (height, width)))


@settings(deadline=None)
@given(pairs(), widths)
def test_shares_follow_the_distance(given_: tuple[np.ndarray, np.ndarray, np.ndarray], width: float) -> None:
    changed = given_[2]
    found = shares(changed, width)
    assert found.min() >= 0
    assert found.max() <= 1
    rows, columns = np.nonzero(changed)
    if not len(rows):
        assert not found.any()
        return
    y, x = np.mgrid[: changed.shape[0], : changed.shape[1]]
    distance = np.sqrt(((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(2))
    reach = max(width, 1.0)
    wanted = np.where(distance < reach, 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance / reach, 1)), 0)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@settings(deadline=None)
@given(pairs(), widths)
def test_a_blend_lies_between_its_images(
    given_: tuple[np.ndarray, np.ndarray, np.ndarray], width: float
) -> None:
    original, edited, changed = given_
    mixed = blend(original, edited, changed, width)
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed[changed], edited[changed])
    assert (mixed >= np.minimum(original, edited)).all()
    assert (mixed <= np.maximum(original, edited)).all()
    untouched = shares(changed, width) == 0
    np.testing.assert_array_equal(mixed[untouched], original[untouched])
    np.testing.assert_array_equal(blend(original, edited, np.zeros_like(changed), width), original)
