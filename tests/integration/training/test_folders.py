"""Folders of images and label maps: what is read, and what is refused by the name of its file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.shapes import BALL, BOX, COLORS, GROUND, NAMES, config_text, write_shapes
from tests.support.turned import ORIENTATIONS, turned_file
from training.config.palette import IGNORED, ClassEntry, Palette
from training.data.folders import FoldersSection, find_pairs, load_folders, place_of
from training.groupdnet.config import StylesConfig, load_styles_config

PALETTE = Palette(
    classes=tuple(
        ClassEntry(id=i, name=name, title=name, color=color)
        for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True))
    )
)
RED, GREEN = (208, 48, 48), (0, 255, 0)
JUDGE = config_text(Path(), Path()).partition("[training.judge]")[2].partition("\n[")[0]
IMAGE = np.full((20, 30, 3), 200, np.uint8)


class Folder:
    """Two folders that a test fills."""

    def __init__(self, root: Path) -> None:
        self.images, self.label_maps = root / "images", root / "maps"
        self.images.mkdir()
        self.label_maps.mkdir()

    def add(self, stem: str, pixels: Any, label_map: Any, suffix: str = ".png") -> None:
        for folder, values, ending in ((self.images, pixels, suffix), (self.label_maps, label_map, ".png")):
            image = values if isinstance(values, Image.Image) else Image.fromarray(values)
            image.save(folder / f"{stem}{ending}")

    def section(self, **more: Any) -> FoldersSection:
        values = {"images": self.images, "label_maps": self.label_maps, "heldout": 1e-9, **more}
        return FoldersSection.model_validate(values)

    def load(self, side: int = 10, **more: Any) -> tuple[np.ndarray, np.ndarray]:
        return load_folders(self.section(**more), PALETTE, (side, side), "train")

    def refusal(self, **more: Any) -> str:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            self.load(**more)
        return str(caught.value).replace(f"{self.images.parent}/", "")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def ids(value: int = GROUND, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.full(size, value, np.uint8)


def test_images_are_cut_to_the_middle_square_and_maps_with_them(folder: Folder) -> None:
    image, labels = IMAGE.copy(), ids()
    image[:, :5], labels[:, :5] = 0, BOX  # outside of the square
    image[:, 5:15], labels[:, 5:15] = (10, 20, 30), BALL  # its left half
    folder.add("one", image, labels)
    images, maps = folder.load()
    assert images.shape == (1, 10, 10, 3)
    assert maps[0].tolist() == [[BALL] * 5 + [GROUND] * 5] * 10
    left, right = images[0, :, :3].astype(int), images[0, :, -3:].astype(int)
    assert np.abs(left - (10, 20, 30)).max() <= 6  # the filter swings at edges
    assert np.abs(right - 200).max() <= 6


def test_greys_palettes_and_colours_are_read_alike(folder: Folder) -> None:
    labels = ids()
    labels[:10], labels[:, 15:] = BALL, BOX
    indexed = Image.fromarray(labels).convert("P")
    indexed.putdata(labels.ravel().tolist())
    indexed.putpalette([9, 9, 9] * 256)
    colors = np.array([tuple(bytes.fromhex(color[1:])) for color in COLORS], np.uint8)
    for stem, label_map in {"a": labels, "b": indexed, "c": colors[labels]}.items():
        folder.add(stem, IMAGE, label_map, ".jpg")
    _, maps = folder.load()
    assert len(maps) == 3
    assert (maps == maps[0]).all()
    assert sorted(np.unique(maps)) == [GROUND, BALL, BOX]


@pytest.mark.parametrize("size", [(20, 30), (10, 15), (40, 60), (7, 10), (7, 11)])
def test_maps_may_have_another_size_of_the_same_shape(folder: Folder, size: tuple[int, int]) -> None:
    folder.add("one", IMAGE, ids(BALL, size))
    assert (folder.load()[1] == BALL).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_both_are_turned_as_their_orientation_says(folder: Folder, orientation: int) -> None:
    image, labels = IMAGE.copy(), ids()
    image[:10, 5:15], labels[:10, 5:15] = 0, BALL
    (folder.images / "one.png").write_bytes(turned_file(image, orientation))
    (folder.label_maps / "one.png").write_bytes(turned_file(labels, orientation))
    images, maps = folder.load()
    corner = np.zeros((10, 10), bool)
    corner[:5, :5] = True
    assert ((maps[0] == BALL) == corner).all()
    assert ((images[0, ..., 0] < 100) == corner).all()


def test_ignored_ids_and_colours_are_of_no_class(folder: Folder) -> None:
    labels = ids(BALL)
    labels[:10] = 255
    folder.add("one", IMAGE, labels)
    half = [IGNORED] * 5 + [BALL] * 5
    assert folder.load(ignore=255)[1][0, :, 0].tolist() == half
    colors = np.full((20, 30, 3), RED, np.uint8)
    colors[:10] = GREEN
    folder.add("one", IMAGE, colors)
    assert folder.load(ignore="#00ff00")[1][0, :, 0].tolist() == half


def test_refusals_of_label_maps_name_file_value_and_what_is_allowed(folder: Folder) -> None:
    def told(label_map: Any, **more: Any) -> str:
        folder.add("one", IMAGE, label_map)
        return folder.refusal(**more)

    assert told(ids(3)) == "maps/one.png: got class id 3; allowed: class ids 0 to 2"
    assert told(ids(3), ignore=255) == (
        "maps/one.png: got class id 3; allowed: class ids 0 to 2, and 255 for none"
    )
    green = np.full((20, 30, 3), GREEN, np.uint8)
    assert told(green) == (
        "maps/one.png: got the colour #00ff00; allowed: the palette's colours, #202020, #d03030, #3050d0"
    )
    assert "and #123456 for none" in told(green, ignore="#123456")
    assert told(ids(size=(20, 20))) == (
        "maps/one.png: got 20 x 20 pixels; allowed: the shape of images/one.png, which has 30 x 20"
    )
    assert told(ids(255), ignore=255) == (
        "maps/one.png: got nothing but what data.ignore names, 255; allowed: a pixel of a class at least"
    )
    assert told(Image.new("RGBA", (30, 20))) == (
        "maps/one.png: got an image of mode RGBA with transparent pixels; allowed: opaque ones"
    )
    assert "maps/one.png: got a PNG of mode I;16; allowed: L or P" in told(Image.new("I;16", (30, 20)))


def test_other_channels_are_refused(folder: Folder) -> None:
    folder.add("one", Image.new("I;16", (30, 20)), ids())
    assert folder.refusal() == (
        "images/one.png: got an image of mode I;16; allowed: 8 bits per channel, nothing transparent"
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_refused(folder: Folder, mode: str) -> None:
    image = Image.new(mode, (30, 20), "white")
    image.putpixel((3, 4), (9, 9, 9, 254) if mode == "RGBA" else (9, 254))
    folder.add("one", image, ids())
    assert folder.refusal() == (
        f"images/one.png: got an image of mode {mode} with transparent pixels; allowed: opaque ones"
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_that_hides_nothing_is_left_out(folder: Folder, mode: str) -> None:
    image, label_map = Image.fromarray(IMAGE), Image.fromarray(ids(2))
    folder.add("one", image.convert(mode), label_map.convert("LA") if mode == "LA" else label_map)
    images, labels = folder.load()
    folder.add("two", image.convert("L" if mode == "LA" else "RGB"), ids(2))
    expected, _ = folder.load()
    assert (images[0] == expected[1]).all()
    assert (labels == 2).all()


def test_files_that_cannot_be_read_are_named(folder: Folder) -> None:
    folder.add("one", IMAGE, ids())
    whole = (folder.images / "one.png").read_bytes()
    for content in (b"", b"no image", whole[:-30]):
        (folder.images / "one.png").write_bytes(content)
        told = folder.refusal()
        assert told.startswith("images/one.png: got a file that cannot be read (")
        assert told.endswith("); allowed: a complete PNG or JPEG")
    (folder.images / "one.png").write_bytes(whole)
    Image.new("L", (30, 20)).save(folder.label_maps / "one.png", "GIF")
    assert folder.refusal().startswith("maps/one.png: got a file that cannot be read (")


def test_partners_must_be_there_once(folder: Folder) -> None:
    folder.add("a", IMAGE, ids())
    folder.add("b", IMAGE, ids())
    folder.add("c", IMAGE, ids())
    (folder.label_maps / "a.png").unlink()
    (folder.label_maps / "b.png").unlink()
    assert folder.refusal() == ("images/a.png: has no label map; needed is maps/a.png (and 1 more have none)")
    (folder.images / "a.png").unlink()
    (folder.images / "b.png").unlink()
    (folder.label_maps / "d.png").write_bytes((folder.label_maps / "c.png").read_bytes())
    assert folder.refusal() == "maps/d.png: has no image; needed is images/d.png or .jpg or .jpeg"
    (folder.label_maps / "d.png").unlink()
    Image.fromarray(IMAGE).save(folder.images / "c.JPG")
    assert folder.refusal() == "images/c.png: c.JPG has the same name; allowed is one of them"


def test_empty_and_missing_folders_are_named(folder: Folder) -> None:
    (folder.images / "notes.txt").write_text("no image")
    assert folder.refusal() == "images: no file that ends in .png or .jpg or .jpeg"
    folder.add("one", IMAGE, ids())
    assert folder.refusal(label_maps=folder.images.parent / "nowhere") == "nowhere: no such folder"
    assert "none of 1 images is in the split 'train'" in folder.refusal(heldout=1 - 1e-9)


def test_places_of_names_are_spread_evenly() -> None:
    places = np.array([place_of(f"image_{number}") for number in range(2000)])
    assert np.histogram(places, 10, (0, 1))[0].min() > 150


def test_splits_share_the_images_out(tmp_path: Path) -> None:
    write_shapes(tmp_path / "images", tmp_path / "maps", 40)
    section = FoldersSection(images=tmp_path / "images", label_maps=tmp_path / "maps", heldout=0.3)
    train, heldout = (
        {pair.image.stem for pair in find_pairs(section, split)} for split in ("train", "heldout")
    )
    assert not train & heldout
    assert len(train | heldout) == 40
    assert 4 <= len(heldout) <= 20
    removed = min(train)
    (next((tmp_path / "images").glob(f"{removed}.*"))).unlink()
    (tmp_path / "maps" / f"{removed}.png").unlink()
    assert {pair.image.stem for pair in find_pairs(section, "heldout")} == heldout
    images, maps = load_folders(section, PALETTE, (32, 32), "heldout", 3)
    assert (images.shape, maps.shape) == ((3, 32, 32, 3), (3, 32, 32))


def test_validation_and_judge_have_images_of_their_own(tmp_path: Path) -> None:
    """And leave the held-out ones as they were."""
    write_shapes(tmp_path / "images", tmp_path / "maps", 60)
    folders = {"images": tmp_path / "images", "label_maps": tmp_path / "maps", "heldout": 0.3}
    section = FoldersSection.model_validate(folders | {"validation": 0.2, "judge": 0.2})

    def stems(section: FoldersSection, split: str) -> set[str]:
        return {pair.image.stem for pair in find_pairs(section, split)}

    splits = [stems(section, split) for split in ("train", "heldout", "validation", "judge")]
    assert all(len(split) >= 5 for split in splits)
    assert sum(map(len, splits)) == len(set().union(*splits)) == 60
    assert splits[1] == stems(FoldersSection.model_validate(folders), "heldout")
    for split in ("validation", "judge"):
        with pytest.raises(ValueError, match=rf"data\.{split}: the configuration gives it no share"):
            find_pairs(FoldersSection.model_validate(folders), split)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("heldout = 0.3", "heldout = 0.5\nvalidation = 0.3\njudge = 0.2", "must be less than 1, as the rest"),
        ("heldout = 0.3", "heldout = 0.3\njudge = 0.1", "judge and data.judge: the section and its share"),
        ('images = "images"', "", "data.images: Field required"),
        ("heldout = 0.3", "heldout = 1.0", "data.heldout: Input should be less than 1"),
        ("heldout = 0.3", "colour = 1", "data.colour: Extra inputs are not permitted"),
        ('images = "images"', 'pack = "faces64"', "data.label_maps: Extra inputs are not permitted"),
        ("[training.judge]" + JUDGE, "", "training.judge: needed for folders"),
        ("widths = [8, 12]", "widths = [8, 8, 8, 8, 8, 8]", "6 levels do not halve 32 pixels"),
    ],
)
def test_configurations_that_do_not_fit_say_where(
    old: str, new: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config_text(Path("images"), Path("maps"))
    assert old in text
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "config.toml").write_text(text.replace(old, new))
    monkeypatch.setattr("training.config.packs.PACKS", tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path}/shapes/config.toml: .*{told}"):
        load_styles_config("shapes")


def test_a_pack_that_brings_judges_takes_no_others() -> None:
    config = load_styles_config("faces64_styles").model_dump()
    steps = {"steps": 1, "batch": 4, "learning_rate": 0.1}
    with pytest.raises(ValueError, match=r"judge: only for folders; pack 'faces64' brings one"):
        StylesConfig.model_validate(config | {"judge": steps | {"width": 8}})
    config["training"]["judge"] = steps | {"widths": (8,)}
    with pytest.raises(ValueError, match=r"training\.judge: only for folders; pack 'faces64' brings one"):
        StylesConfig.model_validate(config)
