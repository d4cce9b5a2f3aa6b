"""Label maps as arrays."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from service.codecs.label_map import (
    check_classes,
    decode_raw,
    decode_run_length,
    resize_nearest,
    used_ids,
)
from service.core.errors import InvalidArgument
from service.core.limits import Limits

LABEL_MAPS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 7)
)
UINT32 = st.integers(0, 2**32 - 1) | st.integers(0, 9)
INT32 = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 9)


@given(LABEL_MAPS)
def test_runs_there_and_back(label_map: NDArray[np.uint8]) -> None:
    flat = label_map.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=255))
    lengths = np.diff(starts, append=flat.size)
    height, width = label_map.shape
    decoded = decode_run_length(
        flat[starts].tolist(), lengths.tolist(), width, height, field="label_map.run_length"
    )
    np.testing.assert_array_equal(decoded, label_map)


def test_runs_go_on_over_the_ends_of_rows() -> None:
    decoded = decode_run_length([0, 1, 2], [4, 2, 2], 4, 2, field="f")
    np.testing.assert_array_equal(decoded, [[0, 0, 0, 0], [1, 1, 2, 2]])


@given(st.lists(UINT32, max_size=9), st.lists(UINT32, max_size=9), INT32, INT32)
def test_any_runs_are_read_or_refused(
    class_ids: list[int], lengths: list[int], width: int, height: int
) -> None:
    try:
        decoded = decode_run_length(class_ids, lengths, width, height, field="label_map.run_length")
    except InvalidArgument:
        return
    assert decoded.shape == (height, width)
    assert decoded.dtype == np.uint8


@given(st.binary(max_size=64), INT32, INT32)
def test_any_raw_map_is_read_or_refused(data: bytes, width: int, height: int) -> None:
    try:
        decoded = decode_raw(data, width, height, field="label_map.raw")
    except InvalidArgument:
        return
    assert decoded.tobytes() == data
    assert decoded.shape == (height, width)


def test_limits_are_inclusive() -> None:
    limits = Limits(max_side=4, max_pixels=8)
    assert decode_raw(bytes(8), 4, 2, field="f", limits=limits).shape == (2, 4)
    for width, height in ((5, 1), (1, 5), (3, 3), (0, 1), (1, 0)):
        with pytest.raises(InvalidArgument, match=f"{width} x {height} pixels; allowed: 1 to 4 .* at most 8"):
            decode_raw(bytes(abs(width * height)), width, height, field="f", limits=limits)


@given(LABEL_MAPS, st.sets(st.integers(0, 7)))
def test_classes_outside_the_palette_are_found(label_map: NDArray[np.uint8], palette: set[int]) -> None:
    unknown = np.argwhere(~np.isin(label_map, list(palette)))
    if not len(unknown):
        check_classes(label_map, sorted(palette), field="f")
        return
    y, x = unknown[0]
    with pytest.raises(InvalidArgument, match=rf"class id {label_map[y, x]} at pixel \(x={x}, y={y}\)"):
        check_classes(label_map, sorted(palette), field="f")


@pytest.mark.parametrize(
    ("palette", "listed"), [((3,), "3"), ((0, 1, 2, 3), "0 to 3"), ((4, 0, 9), "0, 4, 9")]
)
def test_palettes_are_listed_briefly(palette: tuple[int, ...], listed: str) -> None:
    with pytest.raises(InvalidArgument, match=f"class ids {listed}$"):
        check_classes(np.full((1, 1), 200, np.uint8), palette, field="f")


@given(LABEL_MAPS, st.integers(1, 70), st.integers(1, 70))
def test_resizing_samples_at_pixel_centres(label_map: NDArray[np.uint8], width: int, height: int) -> None:
    old_height, old_width = label_map.shape
    half = Fraction(1, 2)
    wanted = [
        [
            label_map[floor((y + half) * old_height / height), floor((x + half) * old_width / width)]
            for x in range(width)
        ]
        for y in range(height)
    ]
    resized = resize_nearest(label_map, width, height)
    np.testing.assert_array_equal(resized, wanted)
    assert resized.flags.c_contiguous


@given(st.binary(min_size=1, max_size=300), st.sets(st.integers(0, 255)))
def test_the_used_ids_are_found_whatever_is_likely(data: bytes, likely: set[int]) -> None:
    assert used_ids(np.frombuffer(data, np.uint8).reshape(1, -1), likely) == sorted(set(data))
