"""The one convolutional backbone of segmenters, mappers and the discriminator.

A U-Net with additive skips whose finest level is coarser than the image: pixels are folded into channels
first (pixel unshuffle), 2x2 of them at 64 px, more in larger images. That loses nothing, and costs what a
small image costs.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

FOLD = 2


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, leaky ReLU 0.2."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


Network = TypeVar("Network", bound=nn.Module)


def frozen(network: Network) -> Network:
    """A copy for inference: weights frozen, batch norms of `conv_block`s folded in (exact and faster)."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for block in copied.modules():
        if isinstance(block, nn.Sequential) and isinstance(block[1], nn.BatchNorm2d):
            convolution = block[0]
            assert isinstance(convolution, nn.Conv2d)
            block[0] = fuse_conv_bn_eval(convolution, block[1])
            block[1] = nn.Identity()
    return copied


class UNet(nn.Module):
    """U-Net over folded pixels.

    Args:
        inputs: channels of the input `[B, inputs, fold*r, fold*r]`.
        outputs: channels of the output.
        widths: channels at r, r/2, r/4, ...
        context: length of an optional vector `[B, context]` that shifts the features of every level (0:
            none).
        unfold: if true the output is `[B, outputs, fold*r, fold*r]`, else `[B, outputs, r, r]`.
        fold: pixels per side of the input for each cell of the finest level.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, ...],
        context: int = 0,
        unfold: bool = False,
        fold: int = FOLD,
    ) -> None:
        super().__init__()
        self.widths, self.unfold, self.fold = widths, unfold, fold
        self.stem = conv_block(inputs * fold * fold, widths[0])
        levels = range(len(widths) - 1)
        self.encode = nn.ModuleList(conv_block(width, width) for width in widths)
        self.down = nn.ModuleList(conv_block(widths[i], widths[i + 1], stride=2) for i in levels)
        self.lift = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in levels)
        self.decode = nn.ModuleList(conv_block(widths[i], widths[i]) for i in levels)
        self.context = nn.ModuleList(nn.Linear(context, width) for width in widths) if context else None
        self.classify = nn.Conv2d(widths[0], outputs * (fold * fold if unfold else 1), 1)

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Logits, at r or unfolded, for pixels `[B, inputs, fold*r, fold*r]`."""
        return self.decode_features(self.encode_features(pixels, context))

    def encode_features(self, pixels: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Features of every level, finest first; the last is the bottleneck."""
        features = self.stem(F.pixel_unshuffle(pixels, self.fold))
        levels: list[Tensor] = []
        for i, block in enumerate(self.encode):
            if i:
                features = self.down[i - 1](features)
            if self.context is not None and context is not None:
                features = features + self.context[i](context)[:, :, None, None]
            features = block(features)
            levels.append(features)
        return levels

    def decode_features(self, levels: list[Tensor]) -> Tensor:
        """Logits from the features of all levels."""
        features = levels[-1]
        for i in reversed(range(len(levels) - 1)):
            lifted = F.interpolate(self.lift[i](features), scale_factor=2.0, mode="nearest")
            features = self.decode[i](levels[i] + lifted)
        logits: Tensor = self.classify(features)
        return F.pixel_shuffle(logits, self.fold) if self.unfold else logits
