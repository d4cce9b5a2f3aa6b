"""GroupDNet's encoder: one style code a class, no class seeing another's pixels (paper, section 3.2).

Not so without groups: that is for the comparison alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.groupdnet.network_config import EncoderSection, NetworkSection
from training.groupdnet.networks.layers import SLOPE, convolution


class Encoder(nn.Module):
    """Class-wise crops to the mean and log variance of each style's code."""

    def __init__(self, config: NetworkSection) -> None:
        super().__init__()
        section, styles = config.encoder, config.styles
        self.styles, self.code, self.code_side = styles, config.code, config.code_side
        groups = styles if config.grouped else 1
        layers: list[nn.Module] = []
        channels = section.planes * styles
        for i, width in enumerate(section.widths):
            halve = convolution(
                channels,
                width * styles,
                stride=2,
                padding=1,
                groups=groups,
                bias=False,
                spectral=section.spectral,
            )
            channels = width * styles
            # As published there is no activation before the first layer, and one before each other.
            layers += [nn.LeakyReLU(SLOPE)] if i else []
            layers += [halve, _norm(section, channels, groups)]
        self.body = nn.Sequential(*layers, nn.LeakyReLU(SLOPE))
        left = section.side // 2 ** len(section.widths)
        kernel, padding = ((left, left * config.aspect), 0) if config.code_side == 1 else ((3, 3), 1)
        outputs = config.code * styles
        self.mean = convolution(channels, outputs, kernel, padding=padding, groups=groups)
        self.log_variance = convolution(channels, outputs, kernel, padding=padding, groups=groups)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the codes.

        Args:
            crops: float `[B, styles * planes, side, side]`, as `crops.class_crops` makes them.

        Returns:
            Each float `[B, styles, code]`, or `[B, styles, code, h, w]` if codes have cells.
        """
        features = self.body(crops)
        return self._by_style(self.mean(features)), self._by_style(self.log_variance(features))

    def _by_style(self, flat: Tensor) -> Tensor:
        codes: Tensor = flat.unflatten(1, (self.styles, self.code))
        result: Tensor = codes.flatten(2) if self.code_side == 1 else codes
        return result


def _norm(section: EncoderSection, channels: int, groups: int) -> nn.Module:
    return nn.InstanceNorm2d(channels) if section.norm == "instance" else nn.GroupNorm(groups, channels)
