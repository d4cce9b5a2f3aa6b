"""Distorted samples: what a generator's images are turned into so that a network meets more than those.

Turned, shifted, scaled, bent, in other colours, sharper, and with parts of one in another: no generator makes
such images, but photographs differ from its samples in just these ways.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TURN = math.radians(12.0)
SCALE = 0.15
SHIFT = 0.12
"""Of half the image's side."""
BEND = 0.06
"""Of half the image's side, at the nodes of a grid of BEND_NODES by BEND_NODES."""
BEND_NODES = 5
GAIN = 0.35
OFFSET = 0.25
SHARPEN = 1.2
PATCH_SHARE = 0.4
"""Share of the images that get a soft patch of their neighbour."""


def distorted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Distort images `[B, 3, H, W]` in [-1, 1], each in a way of its own, drawn on the CPU."""
    result = _patched(images, generator)
    result = F.grid_sample(
        result, _grid(result, generator), mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return _recoloured(_sharpened(result, generator), generator).clamp(-1, 1)


def _uniform(shape: tuple[int, ...], bound: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return ((torch.rand(shape, generator=generator) * 2 - 1) * bound).to(like.device)


def _grid(images: Tensor, generator: torch.Generator) -> Tensor:
    """Where each pixel is taken from: `[B, H, W, 2]`."""
    count, _, height, width = images.shape
    angle = _uniform((count,), TURN, images, generator)
    scale = 1 + _uniform((count,), SCALE, images, generator)
    shift = _uniform((count, 2), SHIFT, images, generator)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)
    turned = F.affine_grid(torch.stack(rows, 1), [count, 3, height, width], align_corners=False)
    nodes = _uniform((count, 2, BEND_NODES, BEND_NODES), BEND, images, generator)
    bent = F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)
    return turned + bent.permute(0, 2, 3, 1)


def _patched(images: Tensor, generator: torch.Generator) -> Tensor:
    """Some images with a soft blob of their neighbour."""
    count, _, height, width = images.shape
    chosen = (torch.rand(count, 1, 1, 1, generator=generator) < PATCH_SHARE).to(images.device)
    nodes = _uniform((count, 1, 4, 4), 1.0, images, generator)
    blob = F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)
    share = (blob * 8).sigmoid() * chosen
    return images + share * (images.roll(1, 0) - images)


def _sharpened(images: Tensor, generator: torch.Generator) -> Tensor:
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)
    amount = _uniform((len(images), 1, 1, 1), SHARPEN, images, generator).clamp(min=0)
    return images + amount * (images - blurred)


def _recoloured(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gain and offset for all channels together, and half as much for each by itself."""
    gain = 1 + _channels(images, GAIN, generator)
    return images * gain + _channels(images, OFFSET, generator)


def _channels(images: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    count = len(images)
    together = _uniform((count, 1, 1, 1), bound, images, generator)
    return together + _uniform((count, 3, 1, 1), bound / 2, images, generator)
