"""Images and label maps from two folders, paired by the names of their files.

An image is any PNG or JPEG, a label map a PNG of the same shape (width to height) in any size: class ids as
greys or palette indices, or the palette's colours. Both are turned as their Exif orientation says, cut to the
shape of the network's images in their middle and brought to the network's size, the image with a filter,
the map by its nearest pixels.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from tqdm import tqdm

from training.config.palette import IGNORED, Palette
from training.config.sections import Section
from training.data.image_files import IMAGE_SUFFIXES, Labels, labels_of, open_image, open_label_map, refuse

MAP_SUFFIXES = (".png",)
TRAIN, HELDOUT, VALIDATION, JUDGE = "train", "heldout", "validation", "judge"
SHARED = (HELDOUT, VALIDATION, JUDGE)
"""Splits with a share of the images of their own; the rest is trained on."""

Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Id = Annotated[int, Field(ge=0, le=255)]
Share = Annotated[float, Field(ge=0, lt=1)]


class AvatarsSection(Section):
    """Avatars that `maskweave data` draws into the folders, with the palette of `training.data.avatars`."""

    style: Literal["avataaars", "adventurer", "lorelei"]
    count: Annotated[int, Field(ge=1)]
    seed: int = Field(default=0, ge=0)


class FoldersSection(Section):
    """Where images and label maps come from: two folders. Relative paths begin at the working directory."""

    images: Path
    label_maps: Path
    heldout: float = Field(default=0.1, gt=0, lt=1)
    """Share of the images kept for evaluation: which ones, a hash of their names decides."""
    validation: Share = 0
    """Share kept for looking at while the pack is made."""
    judge: Share = 0
    """Share kept for the evaluation's own judge, which learns from nothing else."""
    ignore: Id | Color | None = None
    """Id or colour of pixels of no class."""
    mirror: bool = True
    """Whether images may be mirrored in training: not where classes have a left and a right."""
    labeller: str | None = None
    """A program that reads label maps off images for the evaluation, as for `python -m`."""
    avatars: AvatarsSection | None = None
    """What the folders are filled with; None: the images are the user's own."""

    @model_validator(mode="after")
    def _some_are_left(self) -> FoldersSection:
        if sum(self.share(split) for split in SHARED) >= 1:
            raise ValueError(f"{' + '.join(SHARED)}: must be less than 1, as the rest is trained on")
        return self

    def share(self, split: str) -> float:
        """Of one of `SHARED`."""
        share: float = getattr(self, split)
        return share

    def split_of(self, stem: str) -> str:
        """The split that a file's name belongs to."""
        place, first = place_of(stem), 0.0
        for split in SHARED:
            first += self.share(split)
            if place < first:
                return split
        return TRAIN


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of an image and of its label map."""

    image: Path
    label_map: Path


def find_pairs(section: FoldersSection, split: str) -> list[Pair]:
    """The pairs of a split, "train" or one of `SHARED`, in the order of their names.

    Raises:
        FileNotFoundError: if a folder is missing or holds no file of its kind, or the split is empty.
        ValueError: if a file has no partner, or more than one, or the split has no share of the images.
    """
    if split in SHARED and not section.share(split):
        raise ValueError(f"data.{split}: the configuration gives it no share of the images, such as 0.1")
    files = _by_stem(section.images, IMAGE_SUFFIXES)
    maps = _by_stem(section.label_maps, MAP_SUFFIXES)
    _need_partners(files, maps, section.label_maps, "label map", MAP_SUFFIXES)
    _need_partners(maps, files, section.images, "image", IMAGE_SUFFIXES)
    kept = [stem for stem in sorted(files) if section.split_of(stem) == split]
    if not kept:
        shares = ", ".join(f"data.{each} {section.share(each):g}" for each in SHARED if section.share(each))
        raise FileNotFoundError(
            f"{section.images}: none of {len(files)} images is in the split {split!r}; with {shares}, more "
            "images or other shares are needed"
        )
    return [Pair(files[stem], maps[stem]) for stem in kept]


def place_of(stem: str) -> float:
    """A number in [0, 1) that a name always has, and other names do not change."""
    return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8]) / 2**64


def load_folders(
    section: FoldersSection,
    palette: Palette,
    size: tuple[int, int],
    split: str,
    limit: int | None = None,
) -> tuple[NDArray[np.uint8], Labels]:
    """Read the pairs of a split, the first `limit` or all.

    Args:
        section: the folders.
        palette: the classes that label maps may have.
        size: height and width that are wanted.
        split: "train" or one of `SHARED`.
        limit: pairs at most.

    Returns:
        Images, uint8 `[N, height, width, 3]`, and label maps, uint8 `[N, height, width]`: class ids, and
        IGNORED where there is no class.

    Raises:
        FileNotFoundError: as `find_pairs`.
        ValueError: as `find_pairs`, or if a file cannot be read, a map has another shape than its image, an
            id or a colour that the palette has not, or no class at all.
    """
    pairs = find_pairs(section, split)[:limit]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes without Python's lock
        read = list(
            tqdm(
                threads.map(lambda pair: load_pair(pair, palette, section.ignore, size), pairs),
                total=len(pairs),
                desc=f"read {split}",
                unit="image",
                disable=None,  # only on a terminal
            )
        )
    return np.stack([image for image, _ in read]), np.stack([labels for _, labels in read])


def load_pair(
    pair: Pair, palette: Palette, ignore: int | str | None, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], Labels]:
    """Read one pair; see `load_folders`."""
    image, label_map = open_image(pair.image), open_label_map(pair.label_map)
    _need_same_shape(pair, image.size, label_map.size)
    height, width = size
    shown = image.resize((width, height), Image.Resampling.LANCZOS, box=_middle(image.size, size))
    small = label_map.resize((width, height), Image.Resampling.NEAREST, box=_middle(label_map.size, size))
    labels = labels_of(small, palette, pair.label_map, ignore)
    if (labels == IGNORED).all():
        refuse(pair.label_map, f"nothing but what data.ignore names, {ignore}", "a pixel of a class at least")
    return np.asarray(shown), labels


def _middle(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box in the middle of the shape that is wanted: left, top, right, bottom.

    Args:
        size: width and height.
        wanted: height and width.
    """
    width, height = size
    scale = min(height / wanted[0], width / wanted[1])
    cut_height, cut_width = scale * wanted[0], scale * wanted[1]
    left, top = (width - cut_width) / 2, (height - cut_height) / 2
    return left, top, left + cut_width, top + cut_height


def _need_same_shape(pair: Pair, image: tuple[int, int], label_map: tuple[int, int]) -> None:
    """Within the pixel by which a smaller map's sides may have been rounded."""
    (width, height), (map_width, map_height) = image, label_map
    scale = max(map_width / width, map_height / height)
    if abs(width * scale - map_width) >= 1 or abs(height * scale - map_height) >= 1:
        refuse(
            pair.label_map,
            f"{map_width} x {map_height} pixels",
            f"the shape of {pair.image}, which has {width} x {height}",
        )


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in suffixes:
            if file.stem in found:
                raise ValueError(f"{file}: {found[file.stem].name} has the same name; allowed is one of them")
            found[file.stem] = file
    if not found:
        raise FileNotFoundError(f"{folder}: no file that ends in {_either(suffixes)}")
    return found


def _need_partners(
    files: dict[str, Path], partners: dict[str, Path], folder: Path, kind: str, suffixes: tuple[str, ...]
) -> None:
    alone = [files[stem] for stem in sorted(files.keys() - partners.keys())]
    if alone:
        more = f" (and {len(alone) - 1} more have none)" if len(alone) > 1 else ""
        raise ValueError(
            f"{alone[0]}: has no {kind}; needed is {folder / alone[0].stem}{_either(suffixes)}{more}"
        )


def _either(suffixes: tuple[str, ...]) -> str:
    return " or ".join(suffixes)
