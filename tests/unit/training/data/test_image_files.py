"""Single files of images and label maps; what folders of them have in common is tested with the folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.config.palette import Palette
from training.data.image_files import square_image, square_images, square_label_map
from training.sis_ug.config import load_config

PALETTE = load_config("faces64").palette


def test_square_images_and_label_maps_are_brought_to_the_size(tmp_path: Path) -> None:
    Image.new("L", (200, 200), 80).save(tmp_path / "face.jpg")
    assert square_image(tmp_path / "face.jpg", 64).shape == (64, 64, 3)
    ids = np.repeat(np.arange(8, dtype=np.uint8)[:, np.newaxis], 8, 1)
    Image.fromarray(ids).save(tmp_path / "map.png")
    assert (
        square_label_map(tmp_path / "map.png", 64, PALETTE).tolist()
        == np.repeat(np.repeat(ids, 8, 0), 8, 1).tolist()
    )


def test_what_is_not_square_is_refused_by_name_and_size(tmp_path: Path) -> None:
    for name in ("face.png", "map.png"):
        Image.new("L", (64, 48)).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"face\.png: got 64 x 48 pixels; allowed: a square"):
        square_image(tmp_path / "face.png", 64)
    with pytest.raises(ValueError, match=r"map\.png: got 64 x 48 pixels; allowed: a square"):
        square_label_map(tmp_path / "map.png", 64, PALETTE)


def test_a_folder_is_read_in_the_order_of_names_and_must_hold_an_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file that ends in \.png or \.jpg or \.jpeg"):
        square_images(tmp_path, 64)
    for name, level in (("b.png", 200), ("a.png", 100)):
        Image.new("RGB", (32, 32), (level, level, level)).save(tmp_path / name)
    (tmp_path / "README.md").write_text("no image")
    assert square_images(tmp_path, 64)[:, 0, 0, 0].tolist() == [100, 200]


def test_a_colour_that_several_classes_have_is_refused_where_it_is_used(tmp_path: Path) -> None:
    colors = ("#ff0000", "#00ff00", "#ff0000")
    classes = [{"id": i, "name": f"c{i}", "title": f"{i}", "color": color} for i, color in enumerate(colors)]
    palette = Palette.model_validate({"classes": classes})
    Image.new("RGB", (8, 8), "#ff0000").save(tmp_path / "red.png")
    with pytest.raises(ValueError, match=r"red\.png: got the colour #ff0000, which several classes have"):
        square_label_map(tmp_path / "red.png", 8, palette)
    Image.new("RGB", (8, 8), "#00ff00").save(tmp_path / "green.png")
    assert set(square_label_map(tmp_path / "green.png", 8, palette).flat) == {1}
    Image.new("L", (8, 8), 2).save(tmp_path / "ids.png")
    assert set(square_label_map(tmp_path / "ids.png", 8, palette).flat) == {2}
