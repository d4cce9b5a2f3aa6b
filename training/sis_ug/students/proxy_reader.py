"""The proxy reader: the generator's features to the source's proxy mask.

Its teacher, the proxy segmenter, reads the finished image, which then need not be made.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from training.generators.base import FeaturePyramid
from training.networks.unet import conv_block


class ProxyReader(nn.Module):
    """A generator's features to proxy logits.

    Args:
        channels: of the features that are read, by resolution, coarse to fine.
        clusters: number of proxy clusters K.
        mask_resolution: cells m per side of a proxy mask; a multiple of the finest resolution.
        width: channels inside.
    """

    def __init__(self, channels: dict[int, int], clusters: int, mask_resolution: int, width: int) -> None:
        super().__init__()
        self.grow = mask_resolution // max(channels)
        self.enter = nn.ModuleDict({str(r): conv_block(count, width) for r, count in channels.items()})
        self.mix = nn.ModuleDict({str(r): conv_block(width, width) for r in channels})
        self.classify = nn.Conv2d(width, clusters * self.grow**2, 3, 1, 1)

    def forward(self, pyramid: FeaturePyramid) -> Tensor:
        """Logits `[B, K, m, m]` of features `[B, C_r, r, r]` by resolution; others are not looked at."""
        read: Tensor | None = None
        for name, enter in self.enter.items():
            entered = enter(pyramid[int(name)])
            if read is not None:
                entered = entered + F.interpolate(read, size=entered.shape[-2:], mode="nearest")
            read = self.mix[name](entered)
        assert read is not None
        return F.pixel_shuffle(self.classify(read), self.grow)
