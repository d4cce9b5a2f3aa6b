"""Painted images to label maps and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from maskweave_client import Palette, PaletteEntry

PALETTE = Palette(
    (
        PaletteEntry(0, "background", "background", "#1f1f1f"),
        PaletteEntry(3, "hair", "hair or headwear", "#8b5a2b"),
        PaletteEntry(200, "sky", "sky", "#00ff7f"),
    )
)


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 3, 200])
    )
)
def test_there_and_back(label_map: NDArray[np.uint8]) -> None:
    image = PALETTE.color_image(label_map)
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), label_map)
    np.testing.assert_array_equal(PALETTE.label_map(image), label_map)


def test_colours_of_the_image() -> None:
    image = PALETTE.color_image(np.array([[3, 200]], np.uint8)).convert("RGB")
    assert np.asarray(image).tolist() == [[[0x8B, 0x5A, 0x2B], [0, 0xFF, 0x7F]]]


def test_other_colours_are_refused_with_their_place() -> None:
    image = Image.new("RGB", (3, 2), (0x1F, 0x1F, 0x1F))
    image.putpixel((2, 1), (0x8B, 0x5A, 0x2C))
    with pytest.raises(
        ValueError, match=r"got #8b5a2c at pixel \(x=2, y=1\); allowed: #1f1f1f background, #8b5a2b"
    ):
        PALETTE.label_map(image)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="allowed: uint8"):
        PALETTE.label_map(np.zeros(shape, np.uint8))


def test_by_name() -> None:
    assert PALETTE.by_name("sky").rgb == (0, 255, 127)
    assert len(PALETTE) == 3
    with pytest.raises(KeyError, match="background, hair, sky"):
        PALETTE.by_name("sea")
