"""The published shapes by name: what `[network] preset` stands for, at their own width and size or smaller.

Layers, groups and the norms' hidden widths are those of the paper's own code for each data set. `width` is
its option `ngf`, from which every width follows but those that have a number for each class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.config.sections import Positive, Section

Values = dict[str, Any]
BLOCKS = 7
SIDE, START = 256, 4
"""Rows of a published image, and of its codes and first features: each block but the first doubles them."""


class PresetSection(Section):
    """Which published shape, and how much of it.

    Attributes:
        preset: its name.
        width: the paper's `ngf`; left out: as published.
        side: rows of an image; 256 as published, or half of that some times, at least 64.
    """

    preset: str
    width: Positive | None = None
    side: Positive = SIDE


def preset_values(section: PresetSection) -> Values:
    """The fields of `NetworkSection` that a preset stands for.

    Raises:
        ValueError: if there is no such preset, or not at this size.
    """
    if section.preset not in PRESETS:
        raise ValueError(f"preset: got {section.preset!r}, allowed are {', '.join(PRESETS)}")
    sides = [SIDE >> halvings for halvings in range(3)]
    if section.side not in sides:
        raise ValueError(f"side: got {section.side}, allowed are {', '.join(map(str, sides))} with a preset")
    default, make = PRESETS[section.preset]
    return make(section.width or default, section.side)


def deepfashion(width: int, side: int) -> Values:
    """DeepFashion: 8 classes; published: 256 px, width 160."""
    layers = ((16, 8), (16, 8), (16, 4), (8, 4), (4, 2), (2, 2), (1, 1))
    blocks = [{"width": factor * width, "groups": groups, "hidden": 128} for factor, groups in layers]
    return _network(8, 16 * width, 32, blocks, side)


def cityscapes(width: int, side: int) -> Values:
    """Cityscapes: 34 classes and "unknown", edges beside each; published: 256 x 512 px, width 280.

    The norms keep 35 groups throughout.
    """
    layers = ((16, 35), (16, 35), (16, 20), (8, 14), (4, 10), (2, 4), (1, 1))
    blocks = [
        {
            "width": factor * width,
            "groups": groups,
            "hidden": 35 * groups,
            "hidden_groups": 35,
            "norm_groups": 35,
        }
        for factor, groups in layers
    ]
    return _network(35, 16 * width, 10, blocks, side) | {"map_planes": 2, "aspect": 2}


def ade20k(width: int, side: int) -> Values:
    """ADE20K: 150 classes, and "unknown" as the last; published: 256 px, width 64."""
    classes = 151
    layers = ((32, 16), (16, 16), (16, 8), (8, 4), (4, 2), (2, 1))
    widths = [(16 * classes, classes), *((factor * width, groups) for factor, groups in layers)]
    blocks = [
        {
            "width": own,
            "groups": groups,
            "hidden": 2 * classes if classes % groups == 0 else classes * groups,
            "hidden_groups": classes,
        }
        for own, groups in widths
    ]
    return _network(classes, 16 * classes, 4, blocks, side)


def _network(classes: int, start: int, encoder: int, blocks: list[Values], side: int) -> Values:
    """Args: `encoder` are channels of a class after the encoder's first halving."""
    ids = tuple(range(classes))
    cells = START * side // SIDE
    return {
        "classes": classes,
        "style_classes": ids,
        "class_order": ids,
        "code": 8,
        "code_side": cells,
        "start": start,
        "start_side": cells,
        "blocks": blocks,
        "map_resize": "nearest",
        "spectral": True,
        "encoder": {
            "side": side,
            "planes": 3,
            "widths": tuple(factor * encoder for factor in (1, 2, 4, 8, 8, 8)),
            "norm": "instance",
            "spectral": True,
            "resize": "nearest",
        },
    }


PRESETS: dict[str, tuple[int, Callable[[int, int], Values]]] = {
    "deepfashion": (160, deepfashion),
    "cityscapes": (280, cityscapes),
    "ade20k": (64, ade20k),
}
"""Published width, and the fields for a width and a side."""
