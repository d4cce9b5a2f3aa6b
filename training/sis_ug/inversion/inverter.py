"""The inverter: an image to the features that the generator's head would have had for it.

SIS-UG edits real images by inverting them. A latent is too little for that: the image that comes back
shows another person. Features at the attended resolutions keep who it is, and are all that the rearranger
takes (the network is our design; the paper publishes none).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from training.generators.base import FeaturePyramid
from training.networks.unet import FOLD, conv_block


class Inverter(nn.Module):
    """Images `[B, 3, 2r, 2r]` in [-1, 1] to features `[B, C_a, a, a]` at each attended resolution a.

    Down over folded pixels to the coarsest attended resolution, and up again, with skips, to the finest. The
    way down is that of `UNet`, so that it can start as a trained one's.

    Args:
        channels: the generator's channels by attended resolution.
        resolution: r, half the image's side.
        widths: channels at r, r/2, ... down to the coarsest attended resolution.
        depth: residual blocks at the coarsest.
    """

    def __init__(
        self, channels: dict[int, int], resolution: int, widths: tuple[int, ...], depth: int
    ) -> None:
        super().__init__()
        self.resolutions = tuple(resolution >> level for level in range(len(widths)))
        self.attended = tuple(sorted(channels))
        self.stem = conv_block(3 * FOLD * FOLD, widths[0])
        levels = range(len(widths) - 1)
        self.encode = nn.ModuleList(conv_block(width, width) for width in widths)
        self.down = nn.ModuleList(conv_block(widths[i], widths[i + 1], stride=2) for i in levels)
        self.middle = nn.ModuleList(conv_block(widths[-1], widths[-1]) for _ in range(depth))
        up = [i for i in levels if self.resolutions[i] in channels]
        self.lift = nn.ModuleDict({str(i): nn.Conv2d(widths[i + 1], widths[i], 1) for i in up})
        self.decode = nn.ModuleDict({str(i): conv_block(widths[i], widths[i]) for i in up})
        self.head = nn.ModuleDict(
            {
                # Coarse features have many channels, and blocks enough before them.
                str(r): nn.Conv2d(widths[self.resolutions.index(r)], count, 1)
                if r == min(channels)
                else nn.Conv2d(widths[self.resolutions.index(r)], count, 3, 1, 1)
                for r, count in channels.items()
            }
        )

    def forward(self, images: Tensor) -> FeaturePyramid:
        """Features by attended resolution, coarse to fine, not below 0 as the generator's are."""
        features = self.stem(F.pixel_unshuffle(images, FOLD))
        skips: list[Tensor] = []
        for i, block in enumerate(self.encode):
            if i:
                features = self.down[i - 1](features)
            features = block(features)
            skips.append(features)
        for block in self.middle:
            features = features + block(features)
        found: FeaturePyramid = {}
        for i in reversed(range(len(skips))):
            r = self.resolutions[i]
            if r not in self.attended:
                break
            if i < len(skips) - 1:
                lifted = F.interpolate(self.lift[str(i)](features), scale_factor=2.0, mode="nearest")
                features = skips[i] + lifted
                features = features + self.decode[str(i)](features)
            found[r] = F.relu(self.head[str(r)](features))
        return found
