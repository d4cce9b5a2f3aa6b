"""Avatars: image and label map of one drawing agree, whatever the style, the seed and the size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from training.cli.data import data
from training.data.avatar_pairs import Pairs, missing, write_pairs
from training.data.avatar_styles import CLASSES, STYLES, AvatarStyle
from training.data.avatars import draw, ids_of
from training.data.folders import FoldersSection, load_folders
from training.groupdnet.config import load_styles_config

NAMES = list(CLASSES)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_number_gives_one_avatar_and_another_number_another(style: AvatarStyle) -> None:
    image, labels = draw(style, 3, 5, 64)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert labels.shape == (64, 64)
    assert labels.dtype == np.uint8
    again = draw(style, 3, 5, 64)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert (draw(style, 3, 6, 64)[0] != image).any()
    assert (draw(style, 4, 5, 64)[0] != image).any()


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_borders_of_the_label_map_are_those_of_the_image(style: AvatarStyle) -> None:
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
def test_every_class_that_a_style_has_is_drawn_often_enough_to_be_learnt(style: AvatarStyle) -> None:
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


def test_a_colour_of_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="#010203"):
        ids_of(np.array([[[1, 2, 3]]], np.uint8))


def test_a_run_that_was_stopped_goes_on_with_what_is_missing(tmp_path: Path) -> None:
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
        assert f"#{bytes((shown.getpalette() or [])[3:6]).hex()}" == CLASSES["skin"]
    assert not list(tmp_path.rglob("*.part"))
    assert STYLES["lorelei"].credit in (tmp_path / "maps" / "README.md").read_text()


def _away_from_borders(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose neighbours within two are all of the region; the image's own border does not count."""
    padded = np.pad(region, 2, mode="edge")
    height, width = region.shape
    shifted = [padded[y : y + height, x : x + width] for y in range(5) for x in range(5)]
    inside: NDArray[np.bool_] = np.logical_and.reduce(shifted)
    return inside


def test_the_command_draws_what_the_pack_names_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_styles_config("avatars128_styles")
    section = config.data
    assert isinstance(section, FoldersSection)
    assert section.avatars is not None
    few = section.model_copy(update={"avatars": section.avatars.model_copy(update={"count": 3})})
    changed = config.model_copy(update={"data": few})
    monkeypatch.setattr("training.cli.data.load_styles_config", lambda name: changed)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(data, ["avatars128_styles", "--workers", "1"], catch_exceptions=False).output
    assert said == "data/avatars128_styles/images: 3 avatars, 3 of them drawn now\n"
    files = sorted(Path("data/avatars128_styles/images").glob("*.png"))
    assert len(files) == 3
    files[1].unlink()
    said = CliRunner().invoke(data, ["avatars128_styles", "--workers", "1"], catch_exceptions=False).output
    assert "1 of them drawn now" in said
    images, labels = load_folders(few, changed.palette, (128, 128), "train")
    assert (len(images), labels.max() < len(CLASSES)) == (3, True)


def test_packs_that_are_not_drawn_say_where_their_data_comes_from() -> None:
    result = CliRunner().invoke(data, ["faces64_styles"])
    assert result.exit_code == 1
    assert "trains on the samples of 'faces64': `maskweave data faces64` makes them" in result.output
