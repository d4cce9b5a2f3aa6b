"""GroupDNet in one piece: encoder and decoder, trained together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.groupdnet.config import NetworkSection
from training.groupdnet.crops import class_crops
from training.groupdnet.decoder import Decoder
from training.groupdnet.encoder import Encoder


class GroupDNet(nn.Module):
    """See the module's text."""

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        self.side, self.planes, self.styles = config.encoder.side, config.encoder.planes, config.styles
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        merge = torch.zeros(config.classes, config.styles, device="cpu")
        merge[range(config.classes), list(config.style_classes)] = 1
        self.register_buffer("merge", merge, False)

    def style_maps(self, maps: Tensor) -> Tensor:
        """Which style each pixel takes: one-hot `[B, classes, H, W]` to `[B, styles, H, W]`."""
        merged: Tensor = self.get_buffer("merge").T @ maps.flatten(2)
        by_style: Tensor = merged.unflatten(2, maps.shape[2:])
        return by_style

    def encode(self, pictures: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes of pictures `[B, 3, H, W]` with maps `[B, classes, H, W]`."""
        crops = class_crops(pictures, self.style_maps(maps), self.side)
        if self.planes == 3:
            crops = crops.unflatten(1, (self.styles, 4))[:, :, :3].flatten(1, 2)
        mean, log_variance = self.encoder(crops)
        return mean, log_variance

    def forward(self, codes: Tensor, maps: Tensor) -> Tensor:
        """Pictures, see `Decoder`."""
        pictures: Tensor = self.decoder(codes, maps)
        return pictures
