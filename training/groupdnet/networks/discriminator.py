"""GroupDNet's discriminator: patches at two scales, told the map (as pix2pixHD's)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.groupdnet.networks.layers import SLOPE, convolution

KERNEL = 4
PADDING = 2
WIDEST = 512


class PatchDiscriminator(nn.Module):
    """One scale.

    Args:
        inputs: channels of map and image together.
        width: channels of the first layer; each next one has twice as many, up to 512.
        layers: before the one that judges.
    """

    def __init__(self, inputs: int, width: int, layers: int) -> None:
        super().__init__()
        first = convolution(inputs, width, KERNEL, stride=2, padding=PADDING)
        stages: list[nn.Module] = [nn.Sequential(first, nn.LeakyReLU(SLOPE))]
        channels = width
        for i in range(1, layers):
            wider = min(2 * channels, WIDEST)
            stride = 1 if i == layers - 1 else 2
            conv = convolution(
                channels, wider, KERNEL, stride=stride, padding=PADDING, bias=False, spectral=True
            )
            stages.append(nn.Sequential(conv, nn.InstanceNorm2d(wider), nn.LeakyReLU(SLOPE)))
            channels = wider
        stages.append(convolution(channels, 1, KERNEL, padding=PADDING))
        self.stages = nn.ModuleList(stages)

    def forward(self, told: Tensor) -> list[Tensor]:
        """Features of every layer, in single precision; the last, one channel, judges each patch."""
        features = [told]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return [layer.float() for layer in features[1:]]


class MultiscaleDiscriminator(nn.Module):
    """The same network twice: on the image, and on it at half the resolution."""

    SCALES = 2

    def __init__(self, classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(classes + 3, width, layers) for _ in range(self.SCALES)
        )

    def forward(self, images: Tensor, maps: Tensor) -> list[list[Tensor]]:
        """Features of every layer at every scale.

        Args:
            images: `[B, 3, H, W]` in [-1, 1].
            maps: one-hot float `[B, classes, H, W]`.
        """
        told = torch.cat([maps, images], 1)
        result: list[list[Tensor]] = []
        for scale in self.scales:
            result.append(scale(told))
            told = F.avg_pool2d(told, 3, 2, 1, count_include_pad=False)
        return result
