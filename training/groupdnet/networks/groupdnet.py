"""GroupDNet in one piece: encoder and decoder, trained together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.groupdnet.network_config import NetworkSection
from training.groupdnet.networks.crops import class_crops
from training.groupdnet.networks.decoder import Decoder, with_edges
from training.groupdnet.networks.encoder import Encoder


class GroupDNet(nn.Module):
    """See the module's text. Codes are flat, `[B, styles, style_size]`, whether they have cells or not."""

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        section = config.encoder
        self.crop = section.side, section.side * config.aspect
        self.smooth = section.resize == "linear"
        self.planes, self.styles = section.planes, config.styles
        self.cells, self.map_planes = config.code_cells, config.map_planes
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

    def encode(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes of images `[B, 3, H, W]` with maps `[B, classes, H, W]`."""
        height, width = self.crop
        crops = class_crops(images, self.style_maps(maps), height, self.smooth, width)
        if self.planes == 3:
            crops = crops.unflatten(1, (self.styles, 4))[:, :, :3].flatten(1, 2)
        mean, log_variance = self.encoder(crops)
        return mean.flatten(2), log_variance.flatten(2)

    def forward(self, codes: Tensor, maps: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1] of codes and one-hot maps `[B, classes, H, W]`."""
        by_cell = codes.unflatten(2, (-1, *self.cells)) if self.cells else codes
        images: Tensor = self.decoder(by_cell, with_edges(maps) if self.map_planes == 2 else maps)
        return images
