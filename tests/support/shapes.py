"""A folder of images that anyone could have: a ball and a box on a ground, in colours of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.training_text import training_text

NAMES = ("ground", "ball", "box")
COLORS = ("#202020", "#d03030", "#3050d0")
GROUND, BALL, BOX = range(3)
SIDE = 32

CONFIG = """
[pack]
name = "shapes"
version = "1.0.0"
method = "groupdnet"
title = "Shapes, 32 px"
description = "A ball and a box on a ground."

{classes}
[data]
images = "{images}"
label_maps = "{label_maps}"
heldout = 0.3

[network]
classes = 3
style_classes = [0, 1, 2]
class_order = [0, 1, 2]
code = 4
code_side = 1
start = 24
blocks = [
    {{ width = 12, groups = 3, hidden = 6 }},
    {{ width = 12, groups = 3, hidden = 6 }},
    {{ width = 8, groups = 1, hidden = 6 }},
]
fold = 2
map_resize = "area"
spectral = false

[network.encoder]
side = 8
planes = 4
widths = [4, 8]
norm = "group"
spectral = false
"""


def config_text(images: Path, label_maps: Path) -> str:
    """The configuration of a tiny pack that trains on two folders."""
    classes = "".join(
        f'[[palette.classes]]\nid = {i}\nname = "{name}"\ntitle = "{name}"\ncolor = "{color}"\n\n'
        for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True))
    )
    text = CONFIG.format(classes=classes, images=images, label_maps=label_maps)
    return text + training_text(steps=8, judge_steps=60, judge_batch=8, joint_spread=0.5)


def draw_shapes(
    seed: int, width: int = 64, height: int = 48, *, ball: bool = True
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image, uint8 `[height, width, 3]`, and its class ids, uint8 `[height, width]`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ids = np.full((height, width), GROUND, np.uint8)
    left, top = random.integers(width // 4, width // 2), random.integers(height // 4, height // 2)
    ids[top : top + height // 3, left : left + width // 4] = BOX
    middle = random.integers(width // 3, 2 * width // 3), random.integers(height // 3, 2 * height // 3)
    if ball:
        ids[(x - middle[0]) ** 2 + (y - middle[1]) ** 2 < (height / 5) ** 2] = BALL
    colors = np.array([(60, 60, 60), (200, 60, 60), (60, 80, 200)]) + random.integers(-50, 50, (3, 3))
    noised = colors[ids] + random.normal(0, 4, (height, width, 3))
    return noised.round().clip(0, 255).astype(np.uint8), ids


def write_shapes(images: Path, label_maps: Path, count: int, ball_every: int = 1) -> None:
    """Images as PNG and JPEG by turns, label maps of ids, or of colours at half the size.

    Of so many images one has a ball.
    """
    images.mkdir(parents=True)
    label_maps.mkdir(parents=True)
    colors = np.array([tuple(bytes.fromhex(color[1:])) for color in COLORS], np.uint8)
    for seed in range(count):
        image, ids = draw_shapes(seed, ball=seed % ball_every == 0)
        Image.fromarray(image).save(images / f"shapes_{seed}.{'png' if seed % 2 else 'jpg'}")
        shown = Image.fromarray(ids) if seed % 3 else Image.fromarray(colors[ids[::2, ::2]])
        shown.save(label_maps / f"shapes_{seed}.png")
