"""Sums of codes and the ways between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.core.limits import LIMITS
from service.synthesis.styles.mixing import Code, blend, spherical, straight

LIMIT = LIMITS.max_style_value
WAYS = [straight, spherical]

numbers = st.floats(-LIMIT, LIMIT, width=32)
codes = st.lists(numbers, min_size=4, max_size=4).map(lambda values: np.array(values, np.float32))
positions = st.floats(-LIMITS.max_morph_position, LIMITS.max_morph_position, width=32)
weights = st.floats(-LIMITS.max_style_weight, LIMITS.max_style_weight, width=32)


def code(*values: float) -> Code:
    return np.array(values, np.float32)


def close(found: NDArray[np.float32], *values: float) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-6)


def test_a_blend_is_the_weighted_sum() -> None:
    close(blend([(0.5, code(2, 0)), (0.25, code(0, 8))], limit=LIMIT), 1, 2)
    close(blend([(1.5, code(2, 4)), (-0.5, code(4, 2))], limit=LIMIT), 1, 5)
    close(blend([(0.1, code(1, 1))] * 3, limit=LIMIT), 0.3, 0.3)


@given(codes)
def test_a_single_code_of_weight_1_comes_out_as_it_went_in(one: Code) -> None:
    np.testing.assert_array_equal(blend([(1.0, one)], limit=LIMIT), one)


@given(st.lists(st.tuples(weights, codes), min_size=1, max_size=16))
def test_no_blend_leaves_the_bounds(parts: list[tuple[float, Code]]) -> None:
    mixed = blend(parts, limit=LIMIT)
    assert np.abs(mixed).max() <= LIMIT
    assert mixed.dtype == np.float32


def test_what_is_too_large_is_cut_off() -> None:
    close(blend([(2.0, code(900, -900))], limit=LIMIT), LIMIT, -LIMIT)


@pytest.mark.parametrize("way", WAYS)
@given(start=codes, end=codes, position=positions)
def test_no_way_leaves_the_bounds_and_the_ends_are_met_exactly(
    way: object, start: Code, end: Code, position: float
) -> None:
    assert callable(way)
    found = way(start, end, position, limit=LIMIT)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= LIMIT
    np.testing.assert_array_equal(way(start, end, 0.0, limit=LIMIT), start)
    np.testing.assert_array_equal(way(start, end, 1.0, limit=LIMIT), end)


def test_the_straight_way_goes_on_beyond_its_ends() -> None:
    start, end = code(0, 2), code(4, 0)
    for position, expected in ((0.25, (1, 1.5)), (-0.5, (-2, 3)), (1.5, (6, -1))):
        close(straight(start, end, position, limit=LIMIT), *expected)


def test_the_arc_turns_evenly_and_goes_on_beyond_its_ends() -> None:
    start, end = code(2, 0), code(0, 2)
    for position in (-0.5, 0.25, 0.5, 1.5):
        angle = position * np.pi / 2
        close(spherical(start, end, position, limit=LIMIT), 2 * np.cos(angle), 2 * np.sin(angle))


def test_the_length_changes_linearly_and_not_below_0() -> None:
    start, end = code(1, 0), code(0, 3)
    for position, length in ((0.25, 1.5), (0.5, 2.0), (1.5, 4.0), (-0.25, 0.5), (-0.5, 0.0), (-4.0, 0.0)):
        found = spherical(start, end, position, limit=LIMIT)
        assert np.linalg.norm(found) == pytest.approx(length, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (code(1, 2), code(3, 6)),
        (code(1, 2), code(1, 2)),
        (code(1, 2), code(-2, -4)),
        (code(0, 0), code(3, 1)),
        (code(3, 1), code(0, 0)),
        (code(0, 0), code(0, 0)),
    ],
    ids=["parallel", "equal", "opposite", "from_0", "to_0", "both_0"],
)
@pytest.mark.parametrize("position", [-0.5, 0.3, 1.5])
def test_without_one_arc_the_way_is_straight(start: Code, end: Code, position: float) -> None:
    np.testing.assert_array_equal(
        spherical(start, end, position, limit=LIMIT), straight(start, end, position, limit=LIMIT)
    )


def test_a_small_angle_is_still_an_arc() -> None:
    start, end = code(1, 0), code(np.cos(1e-3), np.sin(1e-3))
    close(spherical(start, end, 8.0, limit=LIMIT), np.cos(8e-3), np.sin(8e-3))
