"""The published shapes made small: classes, groups, edges and codes with cells, at 16 rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.training_text import training_text
from training.groupdnet.network_config import NetworkSection
from training.groupdnet.published.imported import config_text

WIDTHS = {"deepfashion": 10, "cityscapes": 70, "ade20k": 8}
KEPT = (0, 2, 4, 6)
"""Blocks: with each number of groups that the others have, too."""
START, HALVINGS = 2, 3

DATA = """
[data]
images = "images"
label_maps = "maps"
heldout = 0.3
mirror = false
"""


def small_shape(name: str) -> NetworkSection:
    """A published network of 16 rows."""
    whole = NetworkSection.model_validate({"preset": name, "width": WIDTHS[name]})
    values: dict[str, Any] = whole.model_dump()
    values |= {"start_side": START, "code_side": START, "blocks": [values["blocks"][i] for i in KEPT]}
    side = START * 2**HALVINGS
    values["encoder"] |= {"side": side, "widths": values["encoder"]["widths"][:HALVINGS]}
    return NetworkSection.model_validate(values)


def pack_text(name: str) -> str:
    """The configuration of a pack that trains such a network on the folders `images` and `maps`."""
    training = training_text(steps=3, judge_steps=3, judge_batch=4, joint_spread=1.0)
    return config_text(small_shape(name), name) + DATA + training


def write_folders(folder: Path, section: NetworkSection, count: int) -> None:
    """Images of plain squares and their maps; every class is somewhere."""
    height, width = section.image_size
    for kind in ("images", "maps"):
        (folder / kind).mkdir(parents=True)
    random = np.random.default_rng(0)
    colors = random.integers(0, 256, (section.classes, 3))
    for index in range(count):
        ids = random.integers(0, section.classes, (height // 8, width // 8))
        ids.flat[:4] = (np.arange(4) + 4 * index) % section.classes
        labels = ids.repeat(8, 0).repeat(8, 1).astype(np.uint8)
        noise = random.normal(0, 8, (height, width, 3))
        image = (colors[labels] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{index}.png")
        Image.fromarray(labels).save(folder / "maps" / f"{index}.png")
