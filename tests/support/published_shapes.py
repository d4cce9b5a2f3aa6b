"""The published shapes made small: classes, groups, edges and codes with cells, at 32 rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.groupdnet.network_config import NetworkSection
from training.groupdnet.published.imported import config_text

WIDTHS = {"deepfashion": 10, "cityscapes": 70, "ade20k": 8}
KEPT = (0, 1, 2, 4, 6)
"""Blocks: with each number of groups but one that comes twice as often."""
START, HALVINGS = 2, 4

TRAINING = """
[data]
images = "images"
label_maps = "maps"
heldout = 0.3
mirror = false

[training]
steps = 3
batch = 4
learning_rate = 1e-3
discriminator_learning_rate = 1e-3
joint_spread = 1.0
single_spread = 0.7

[training.discriminator]
width = 8
layers = 2

[training.judge]
widths = [8, 12]
steps = 3
batch = 4
learning_rate = 5e-3

[training.weights]
adversarial = 1.0
matching = 1.0
pixels = 5.0
features = 1.0
label = 0.5
kl = 0.002
leak = 5.0
style = 1.0
"""


def small_shape(name: str) -> NetworkSection:
    """A published network of 32 rows."""
    whole = NetworkSection.model_validate({"preset": name, "width": WIDTHS[name]})
    values: dict[str, Any] = whole.model_dump()
    values |= {"start_side": START, "code_side": START, "blocks": [values["blocks"][i] for i in KEPT]}
    side = START * 2**HALVINGS
    values["encoder"] |= {"side": side, "widths": values["encoder"]["widths"][:HALVINGS]}
    return NetworkSection.model_validate(values)


def pack_text(name: str) -> str:
    """The configuration of a pack that trains such a network on the folders `images` and `maps`."""
    return config_text(small_shape(name), name) + TRAINING


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
