"""The judge: a second network that reads label maps off images, to evaluate by; no loss ever asks it.

What trains a pack is judged by segmenters that share one form, the U-Net, and the labels of one tool, which
also reads the results: they may share its blind spots. The judge is built otherwise (residual blocks of
dilated convolutions at one resolution with a summary of the whole image, no skips between resolutions, group
normalisation), and is trained on images that nothing else uses. Its labels still come from where all others
come from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DILATIONS = (1, 2, 4, 8, 1, 2)
GROUPS = 8
WORKING_SIDE = 128
"""Images of at least twice as many rows and columns are reduced; label maps are read there, and enlarged."""


class DilatedBlock(nn.Module):
    """x + f(x): two 3x3 convolutions, the first dilated, each after a group norm and a SiLU."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
            nn.GroupNorm(GROUPS, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`[B, width, r, r]` to the same."""
        added: Tensor = features + self.layers(features)
        return added


class Judge(nn.Module):
    """Images to label logits.

    Args:
        classes: number of label classes.
        width: channels, a multiple of 8.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(DilatedBlock(width, dilation) for dilation in DILATIONS))
        self.summary = nn.Linear(width, width)
        self.outlines = nn.Conv2d(width + 3, width, 3, padding=1)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Label logits `[B, classes, H, W]` of images `[B, 3, H, W]` in [-1, 1]."""
        small = _reduced(images)
        features = self._features(small)
        features = features + self.summary(features.mean((2, 3)))[:, :, None, None]
        lifted = F.interpolate(features, size=small.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classify(F.silu(self.outlines(torch.cat([lifted, small], 1))))
        if logits.shape[2:] == images.shape[2:]:
            return logits
        return F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)

    def encode_features(self, images: Tensor) -> list[Tensor]:
        """Features `[B, width, r, r]`, to compare sets of images by."""
        return [self._features(_reduced(images))]

    def _features(self, small: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.stem(small))
        return features


def _reduced(images: Tensor) -> Tensor:
    scale = min(images.shape[2:]) // WORKING_SIDE
    return F.avg_pool2d(images, scale) if scale > 1 else images
