"""Refines what the inverter reads off images by optimisation, offline, so that they come back better.

Offsets are added to the finest features that the rearranger takes, the only ones that the generator's tail
sees, and found by gradients through the frozen tail. They are counted in standard deviations of the image's
own features, and the penalty on them keeps the features near those that the rearranger was trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.generators.base import FeaturePyramid
from training.sis_ug.inversion.reconstruction import through_tail
from training.sis_ug.pipeline import SynthesisPipeline

LEARNING_RATE = 0.1
CONSTANT_SHARE = 0.6
"""Of the steps: in the others the learning rate falls to 0 in a line."""


IMAGE_WEIGHT = 100.0
"""Of the mean squared difference of images in [-1, 1]."""
NEARNESS_WEIGHT = 0.1
"""Of the mean squared offset, in standard deviations of the features."""


def refine(pipeline: SynthesisPipeline, images: Tensor, steps: int) -> FeaturePyramid:
    """Features at the attended resolutions of images `[B, 3, H, W]` in [-1, 1].

    Each image is refined as if it were alone; the same image gives the same features. With 0 steps they
    are the inverter's own.
    """
    with torch.no_grad():
        read = pipeline.invert(images)
    finest = pipeline.attended[-1]
    start = read[finest]
    unit = start.std((1, 2, 3), keepdim=True)
    offsets = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([offsets], lr=LEARNING_RATE)

    def refined() -> FeaturePyramid:
        return {**read, finest: pipeline.generator.in_range(start + offsets * unit)}

    for step in range(steps):
        left = (steps - step) / steps
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, left / (1 - CONSTANT_SHARE))
        found = through_tail(pipeline, refined())
        image = F.mse_loss(found, images, reduction="none").mean((1, 2, 3)).sum()
        near = offsets.square().mean((1, 2, 3)).sum()
        optimizer.zero_grad(set_to_none=True)
        (IMAGE_WEIGHT * image + NEARNESS_WEIGHT * near).backward()
        optimizer.step()
    with torch.no_grad():
        return refined()
