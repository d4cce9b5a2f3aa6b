"""Avatars: image and label map of one drawing agree, whatever the style, the seed and the size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.avatar_pairs import Pairs, missing, write_pairs
from training.data.avatars import CLASSES, STYLES, draw, ids_of

NAMES = list(CLASSES)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("size", [64, 96])
def test_a_number_gives_one_avatar_and_another_number_another(style, size):
    image, labels = draw(style, 3, 5, size)
    assert (image.shape, image.dtype) == ((size, size, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((size, size), np.uint8)
    again = draw(style, 3, 5, size)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert (draw(style, 3, 6, size)[0] != image).any()
    assert (draw(style, 4, 5, size)[0] != image).any()


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_borders_of_the_label_map_are_those_of_the_image(style):
    """Background is flat in the image: away from borders it has one colour, and no other class has."""
    for number in range(6):
        image, labels = draw(style, 0, number, 128)
        inside = labels == NAMES.index("background")
        color = image[inside][0]
        far = _away_from_borders(inside)
        assert (image[far] == color).all()
        figure = _away_from_borders(~inside)
        assert (image[figure] == color).all(1).mean() < 0.02


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_class_that_a_style_has_is_drawn_often_enough_to_be_learnt(style):
    seen = np.zeros(len(CLASSES))
    for number in range(60):
        seen[np.unique(draw(style, 1, number, 64)[1])] += 1
    without = {"avataaars": set(), "adventurer": {"nose", "facial_hair", "clothes", "collar"}}
    without["lorelei"] = {"clothes", "collar"}
    for name, times in zip(NAMES, seen, strict=True):
        if name in without[style.name]:
            assert times == 0, name
        else:  # the adventurers' flowers belong to few hairstyles
            assert times >= (1 if (style.name, name) == ("adventurer", "headwear") else 6), name


def test_a_colour_of_no_class_is_refused():
    with pytest.raises(ValueError, match="#010203"):
        ids_of(np.array([[[1, 2, 3]]], np.uint8))


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(tmp_path: Path):
    pairs = Pairs("lorelei", 0, 64, tmp_path / "images", tmp_path / "maps")
    assert list(write_pairs(pairs, missing(pairs, 4), 2)) == [0, 1, 2, 3]
    image, label_map = pairs.files(2)
    before = image.read_bytes(), label_map.read_bytes()
    label_map.unlink()
    assert missing(pairs, 6) == [2, 4, 5]
    list(write_pairs(pairs, missing(pairs, 6), 1))
    assert not missing(pairs, 6)
    assert (image.read_bytes(), label_map.read_bytes()) == before
    with Image.open(label_map) as shown:
        assert shown.mode == "P"
        np.testing.assert_array_equal(np.asarray(shown), draw(STYLES["lorelei"], 0, 2, 64)[1])
        assert f"#{bytes(shown.getpalette()[3:6]).hex()}" == CLASSES["skin"]
    assert not list(tmp_path.rglob("*.part"))
    assert STYLES["lorelei"].credit in (tmp_path / "maps" / "README.md").read_text()


def _away_from_borders(region):
    """Pixels whose neighbours within two are all of the region; the image's own border does not count."""
    padded = np.pad(region, 2, mode="edge")
    height, width = region.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(5) for x in range(5)]
    return np.logical_and.reduce(shifted)
