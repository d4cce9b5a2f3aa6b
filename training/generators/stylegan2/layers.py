"""The layers of StyleGAN2, for inference: gains folded into the weights, any batch size in one graph.

A modulated convolution scales its weights for every sample (Karras et al., CVPR 2020, section 2.2), which as
written needs a grouped convolution with a group a sample. Here the *activations* are scaled before and after
a convolution with constant weights, which is the same and lets a graph be exported with a dynamic batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2.0)
"""Of the activation: keeps the variance that the leaky ReLU takes."""
EPSILON = 1e-8
TAPS = (1.0, 3.0, 3.0, 1.0)
"""Of the low-pass filter of every doubling of the resolution."""
UP_GAIN = 4.0
"""Of that filter: three of four values that it reads are zeros put in."""


def activate(values: Tensor, clamp: float | None) -> Tensor:
    """Leaky ReLU with its gain, clamped."""
    return bounded(F.leaky_relu(values, SLOPE) * GAIN, clamp)


def bounded(values: Tensor, clamp: float | None) -> Tensor:
    """Values within +-`clamp`."""
    return values if clamp is None else values.clamp(-clamp, clamp)


def low_pass(channels: int) -> Tensor:
    """The filter as a depthwise kernel `[channels, 1, 4, 4]`, gain included."""
    taps = torch.tensor(TAPS, dtype=torch.float64)
    kernel = torch.outer(taps, taps) * UP_GAIN / taps.sum() ** 2
    return kernel.float().expand(channels, 1, len(TAPS), len(TAPS)).contiguous()


class Dense(nn.Module):
    """A fully connected layer with an equalised learning rate, its gains folded in.

    Args:
        weight: `[outputs, inputs]`, as trained.
        bias: `[outputs]`, as trained.
        rate: learning-rate multiplier, a gain of both at run time.
    """

    def __init__(self, weight: Tensor, bias: Tensor, rate: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", weight * (rate / math.sqrt(weight.shape[1])))
        self.register_buffer("bias", bias * rate)

    def forward(self, values: Tensor) -> Tensor:
        """`[B, inputs]` to `[B, outputs]`."""
        return F.linear(values, self.get_buffer("weight"), self.get_buffer("bias"))


class Upsample(nn.Module):
    """Twice the resolution of the image in the making: zeros put in, then the low-pass filter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("kernel", low_pass(channels), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """`[B, channels, r, r]` to `[B, channels, 2r, 2r]`."""
        kernel = self.get_buffer("kernel")
        return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=self.channels)


class StyledConvolution(nn.Module):
    """A modulated and demodulated 3x3 convolution with noise, bias and activation.

    Args:
        weight: `[O, I, 3, 3]`, as trained.
        bias: `[O]`.
        affine: from a style to the scales of the I inputs.
        noise: constant noise `[r, r]`.
        strength: of the noise, a scalar.
        up: whether it doubles the resolution first.
        clamp: see `activate`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        affine: Dense,
        noise: Tensor,
        strength: Tensor,
        *,
        up: bool,
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.affine, self.up, self.clamp = affine, up, clamp
        # Demodulation undoes any factor of an output's weights: with norm 1 sums stay small enough for half
        # precision. What guards its root against zero is divided alike, so that nothing else changes.
        norm = weight.square().sum((1, 2, 3)).sqrt()
        norm = torch.where(norm > 0, norm, 1.0)
        weight = weight / norm[:, None, None, None]
        self.register_buffer("energy", weight.square().sum((2, 3)).T.contiguous())
        self.register_buffer("epsilon", EPSILON / norm.square())
        # A transposed convolution has its inputs first.
        self.register_buffer("weight", weight.transpose(0, 1).contiguous() if up else weight)
        self.register_buffer("bias", bias[:, None, None])
        self.register_buffer("noise", noise[None, None])
        self.register_buffer("strength", strength)
        if up:
            self.register_buffer("kernel", low_pass(len(bias)), persistent=False)

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Features `[B, O, r, r]`.

        Args:
            features: `[B, I, r, r]`, or at half the resolution if `up`.
            style: `[B, style_size]`.
            noise: `[B, 1, r, r]` or `[1, 1, r, r]`, of N(0, 1); None for none.
        """
        scale = self.affine(style)
        demodulation = torch.rsqrt(scale.square() @ self.get_buffer("energy") + self.get_buffer("epsilon"))
        convolved = self._convolve(features * scale[:, :, None, None]) * demodulation[:, :, None, None]
        if noise is not None:
            convolved = convolved + noise * self.get_buffer("strength")
        return activate(convolved + self.get_buffer("bias"), self.clamp)

    def _convolve(self, features: Tensor) -> Tensor:
        weight = self.get_buffer("weight")
        if not self.up:
            return F.conv2d(features, weight, padding=1)
        doubled = F.conv_transpose2d(features, weight, stride=2)
        kernel = self.get_buffer("kernel")
        return F.conv2d(doubled, kernel, padding=1, groups=kernel.shape[0])


class ToColors(nn.Module):
    """Features to colours: a modulated 1x1 convolution, not demodulated.

    Args:
        weight: `[3, I, 1, 1]`, as trained.
        bias: `[3]`.
        affine: from a style to the scales of the I inputs.
        clamp: see `bounded`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, affine: Dense, clamp: float | None) -> None:
        super().__init__()
        self.affine, self.clamp = affine, clamp
        self.register_buffer("weight", weight / math.sqrt(weight.shape[1]))
        self.register_buffer("bias", bias)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """`[B, I, r, r]` and `[B, style_size]` to `[B, 3, r, r]`."""
        scaled = features * self.affine(style)[:, :, None, None]
        return bounded(F.conv2d(scaled, self.get_buffer("weight"), self.get_buffer("bias")), self.clamp)
