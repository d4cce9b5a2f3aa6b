"""Avatars and their label maps as two folders of PNGs, drawn by several processes; see `avatars`.

They are what `[data]` of a pack names, under the same file names. A run that was stopped goes on: what is
there is kept, and files appear whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.avatar_styles import CLASSES, STYLES
from training.data.avatars import draw

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which avatars are drawn, and where to.

    Attributes:
        style: name, of `STYLES`.
        seed: of all of them.
        size: rows and columns, in pixels.
        images: folder of the images.
        label_maps: folder of the label maps.
    """

    style: str
    seed: int
    size: int
    images: Path
    label_maps: Path

    def files(self, number: int) -> tuple[Path, Path]:
        """Of one avatar: its image and its label map."""
        name = f"{self.style}_{self.seed}_{number:07}.png"
        return self.images / name, self.label_maps / name


def missing(pairs: Pairs, count: int) -> list[int]:
    """Numbers below `count` of which a file is not there."""
    return [number for number in range(count) if not all(file.exists() for file in pairs.files(number))]


def write_pairs(pairs: Pairs, numbers: list[int], workers: int) -> Iterator[int]:
    """Draw and write avatars; gives the number of each that is written.

    Raises:
        OSError: if a file cannot be written.
    """
    card = (
        f"Drawn with DiceBear's style {pairs.style!r}, remixed: colours, places and tilt are our own.\n\n"
        f"{STYLES[pairs.style].credit}\n"
    )
    for folder in (pairs.images, pairs.label_maps):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).write_text(card)
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_write, repeat(pairs), numbers, chunksize=16)


def _write(pairs: Pairs, number: int) -> int:
    image, labels = draw(STYLES[pairs.style], pairs.seed, number, pairs.size)
    shown, label_map = pairs.files(number)
    _save(Image.fromarray(image), shown)
    _save(_with_palette(labels), label_map)
    return number


def _with_palette(labels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette(bytes.fromhex("".join(color[1:] for color in CLASSES.values())))
    return image


def _save(image: Image.Image, file: Path) -> None:
    """Whole or not at all."""
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    image.save(unfinished, "PNG")
    unfinished.replace(file)
