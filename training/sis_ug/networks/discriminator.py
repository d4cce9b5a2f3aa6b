"""The discriminator of the adversarial term: a proxy-mask segmenter that also knows the class "fake".

Schönfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis" (OASIS, ICLR 2021):
every cell is classified as one of K clusters or as fake. It starts as a copy of the trained segmenter, so it
can tell parts from the first step, and a global logit on the bottleneck judges the whole.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training.networks.unet import UNet


class SegmenterDiscriminator(nn.Module):
    """Cell-wise and global judgement of images `[B, 3, 2m, 2m]`.

    Args:
        segmenter: a trained network images -> proxy logits `[B, K, m, m]`, copied here. Its batch norms
            must be folded (`training.networks.unet.frozen`): statistics of real images only.
    """

    def __init__(self, segmenter: UNet) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(segmenter).requires_grad_(True)
        old = segmenter.classify
        new = nn.Conv2d(old.in_channels, old.out_channels + 1, 1)
        with torch.no_grad():
            assert old.bias is not None
            assert new.bias is not None
            new.weight[:-1] = old.weight
            new.bias[:-1] = old.bias
            new.weight[-1] = 0
            new.bias[-1] = 0
        self.backbone.classify = new
        self.judge = nn.Linear(segmenter.widths[-1], 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Cell logits `[B, K+1, m, m]`, the last channel "fake", and global logits `[B]`, high for real."""
        levels = self.backbone.encode_features(images)
        return self.backbone.decode_features(levels), self.judge(levels[-1].mean((2, 3)))[:, 0]
