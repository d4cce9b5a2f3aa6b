"""GroupDNet's decoder: from a group a class down to one group, so that classes meet step by step.

Paper, section 3.3 and figure 3: CG-Norm (conditional group normalisation) and CG-Block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.groupdnet.network_config import BlockSection, NetworkSection
from training.groupdnet.networks.layers import SLOPE, convolution


class CGNorm(nn.Module):
    """Batch norm whose scale and shift come from the map, through grouped convolutions.

    Args:
        channels: of the features.
        map_channels: of the map.
        shape: hidden channels, groups into them, groups out of them.
    """

    def __init__(self, channels: int, map_channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        hidden, into, out = shape
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = convolution(map_channels, hidden, groups=into)
        self.scale = convolution(hidden, channels, groups=out)
        self.shift = convolution(hidden, channels, groups=out)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """Features `[B, channels, h, w]`, map `[B, map_channels, h, w]`."""
        hidden = F.relu(self.shared(maps))
        normed: Tensor = self.norm(features)
        scale: Tensor = self.scale(hidden)
        shift: Tensor = self.shift(hidden)
        return normed * (1 + scale) + shift


class CGBlock(nn.Module):
    """Residual block: two CG-Norms, two grouped convolutions; a learned shortcut if widths differ."""

    def __init__(self, inputs: int, section: BlockSection, map_channels: int, spectral: bool) -> None:
        super().__init__()
        outputs, groups = section.width, section.groups
        middle, shape = min(inputs, outputs), section.norm_shape(groups)
        self.norm_0 = CGNorm(inputs, map_channels, shape)
        self.conv_0 = convolution(inputs, middle, groups=groups, spectral=spectral)
        self.norm_1 = CGNorm(middle, map_channels, shape)
        self.conv_1 = convolution(middle, outputs, groups=groups, spectral=spectral)
        self.norm_s = CGNorm(inputs, map_channels, shape) if inputs != outputs else None
        self.conv_s = (
            convolution(inputs, outputs, 1, groups=groups, bias=False, spectral=spectral)
            if inputs != outputs
            else None
        )

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """Features `[B, inputs, h, w]`, map `[B, map_channels, h, w]`, to `[B, width, h, w]`."""
        shortcut = features
        if self.norm_s is not None and self.conv_s is not None:
            shortcut = self.conv_s(self.norm_s(features, maps))
        middle = self.conv_0(F.leaky_relu(self.norm_0(features, maps), SLOPE))
        result: Tensor = self.conv_1(F.leaky_relu(self.norm_1(middle, maps), SLOPE))
        return shortcut + result


class Decoder(nn.Module):
    """Codes and a map to an image."""

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        classes, planes = config.classes, config.map_planes
        self.code_side, self.map_resize, self.fold = config.code_side, config.map_resize, config.fold
        order = torch.tensor(config.class_order, device="cpu")
        # Not in the state: they follow from the configuration.
        self.register_buffer("styles", torch.tensor(config.style_classes, device="cpu")[order], False)
        channels = order[:, None] * planes + torch.arange(planes, device="cpu")
        self.register_buffer("map_channels", channels.flatten(), False)
        groups = classes if config.grouped else 1
        self.begin: nn.Module = (
            nn.ConvTranspose2d(
                classes * config.code,
                config.start,
                (config.start_side, config.start_side * config.aspect),
                groups=groups,
            )
            if config.code_side == 1
            else convolution(classes * config.code, config.start, groups=groups)
        )
        widths = [config.start, *(block.width for block in config.blocks)]
        self.blocks = nn.ModuleList(
            CGBlock(widths[i], block, classes * config.block_planes, config.spectral)
            for i, block in enumerate(config.blocks)
        )
        self.finish = convolution(widths[-1], 3 * config.fold**2)

    def forward(self, codes: Tensor, maps: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1].

        Args:
            codes: `[B, styles, code]` or `[B, styles, code, h, w]`.
            maps: one-hot float `[B, classes * map_planes, H, W]`, in the order of the class ids.
        """
        # index_select and no subscript: that one exports as transposes around a GatherND.
        own = codes.index_select(1, self.get_buffer("styles")).flatten(1, 2)
        # Unshuffling keeps a class's channels together, as the groups need them.
        ordered = F.pixel_unshuffle(maps.index_select(1, self.get_buffer("map_channels")), self.fold)
        features = self.begin(own[:, :, None, None] if self.code_side == 1 else own)
        for i, block in enumerate(self.blocks):
            if i:
                features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(features, self._shrunk(ordered, 2 ** (len(self.blocks) - 1 - i)))
        return torch.tanh(F.pixel_shuffle(self.finish(F.leaky_relu(features, SLOPE)), self.fold))

    def _shrunk(self, maps: Tensor, factor: int) -> Tensor:
        if factor == 1:
            return maps
        # A slice is nearest resizing by a whole factor, and exports as such.
        return F.avg_pool2d(maps, factor) if self.map_resize == "area" else maps[:, :, ::factor, ::factor]


def with_edges(maps: Tensor) -> Tensor:
    """One-hot maps `[B, C, H, W]` with the edges between classes beside each class: `[B, 2 * C, H, W]`.

    A pixel is on an edge if one of its four neighbours is of another class, as in the paper's code for
    instances. What touches another of its own class has no edge there: label maps know no instances.
    """
    across = (maps[..., 1:] - maps[..., :-1]).abs().amax(1, keepdim=True)
    down = (maps[..., 1:, :] - maps[..., :-1, :]).abs().amax(1, keepdim=True)
    edges = (
        F.pad(across, (1, 0)) + F.pad(across, (0, 1)) + F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1))
    )
    return torch.stack([maps, edges.clamp(max=1).expand_as(maps)], 2).flatten(1, 2)
