"""Borders and flat areas beside a drawn truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.crispness import as_markdown, crispness

SIDE = 32


def drawn() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A bright square on dark ground, and its label map."""
    label_map = np.zeros((1, SIDE, SIDE), np.uint8)
    label_map[:, 8:24, 8:24] = 1
    return np.where(label_map[..., None] == 1, (200, 180, 160), (20, 40, 60)).astype(np.uint8), label_map


def blurred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of three pixels along each axis."""
    values = image.astype(np.float64)
    for axis in (1, 2):
        values = (np.roll(values, 1, axis) + values + np.roll(values, -1, axis)) / 3
    return values.round().astype(np.uint8)


def test_the_truth_is_as_steep_and_as_flat_as_itself() -> None:
    image, label_map = drawn()
    found = crispness(image, image, label_map)
    assert found.steepness == found.true_steepness == 1
    assert found.texture == 0
    assert found.flat == pytest.approx((12**2 + 28**2 - 20**2) / 28**2)


def test_a_blurred_border_has_a_third_of_the_change_at_the_border() -> None:
    image, label_map = drawn()
    found = crispness(blurred(image), image, label_map)
    assert found.steepness == pytest.approx(1 / 3, abs=0.01)
    assert found.true_steepness == 1
    assert found.texture == 0, "the blur of a border is not taken for texture"


def test_texture_is_what_neighbours_differ_by() -> None:
    image, label_map = drawn()
    checked = image.copy()
    checked[:, ::2, ::2] += 3
    checked[:, 1::2, 1::2] += 3
    found = crispness(checked, image, label_map)
    assert found.texture == pytest.approx(3)
    assert "differ by 3.00 levels" in as_markdown(found)


def test_what_is_nowhere_flat_or_has_no_borders_gives_no_figures() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    found = crispness(noise, noise, np.zeros((2, SIDE, SIDE), np.uint8))
    assert (found.steepness, found.texture, found.flat) == (None, None, 0)
    assert as_markdown(found) == ""
