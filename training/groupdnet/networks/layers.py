"""What GroupDNet's networks share."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Of every leaky ReLU."""


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    bias: bool = True,
    spectral: bool = False,
) -> nn.Module:
    """A grouped convolution, spectral-normed if wanted; keeps the resolution unless told otherwise."""
    if padding is None:
        assert isinstance(kernel, int)  # an oblong one needs a padding of its own
        padding = kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)
    return spectral_norm(layer) if spectral else layer
