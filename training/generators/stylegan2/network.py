"""StyleGAN2's two networks: mapping, from latents to styles, and synthesis, from styles to images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from training.generators.stylegan2.architecture import (
    COLORS,
    START,
    Architecture,
    State,
    checked_state,
    convolutions,
)
from training.generators.stylegan2.layers import Dense, StyledConvolution, ToColors, Upsample, activate

Noise = Literal["const", "none"] | Mapping[int, tuple[Tensor, ...]]
"""Noise of the convolutions: the stored maps ("const"), none, or by resolution one map `[B, 1, r, r]` of
N(0, 1) for each of a block's convolutions."""


class MappingNetwork(nn.Module):
    """Latents to styles.

    Args:
        architecture: sizes.
        state: tensors named as in `tensor_shapes`.
    """

    def __init__(self, architecture: Architecture, state: State) -> None:
        super().__init__()
        self.dense = nn.ModuleList(
            Dense(
                state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"], rate=architecture.mapping_rate
            )
            for i in range(architecture.mapping_layers)
        )
        self.register_buffer("average", state["mapping.w_avg"])

    def forward(self, latent: Tensor) -> Tensor:
        """`[B, latent_size]`, scaled to unit root mean square first, to styles `[B, style_size]`."""
        values = latent * torch.rsqrt(latent.square().mean(dim=1, keepdim=True) + 1e-8)
        for dense in self.dense:
            values = activate(dense(values), clamp=None)
        return values

    def truncated(self, style: Tensor, truncation: Tensor) -> Tensor:
        """Styles drawn to the average: `[B, style_size]` to one for each layer, `[B, layers, style_size]`.

        Args:
            style: `[B, style_size]`.
            truncation: of each layer, `[layers]`: 1 leaves the style as it is, 0 gives the average.
        """
        average = self.get_buffer("average")
        return average + truncation[None, :, None] * (style[:, None, :] - average)


class SynthesisNetwork(nn.Module):
    """Layer styles to images, block by block.

    Between blocks travel the features with the image in the making behind them: `[B, C_r + 3, r, r]`.

    Args:
        architecture: sizes.
        state: tensors named as in `tensor_shapes`.
    """

    def __init__(self, architecture: Architecture, state: State) -> None:
        super().__init__()
        self.resolutions = architecture.resolutions
        self.register_buffer("const", state["synthesis.b4.const"][None])
        self.convolutions, self.colors = nn.ModuleDict(), nn.ModuleDict()
        for r in self.resolutions:
            for name in convolutions(r):
                layer = f"synthesis.b{r}.{name}"
                self.convolutions[f"{r}_{name}"] = StyledConvolution(
                    state[f"{layer}.weight"],
                    state[f"{layer}.bias"],
                    _affine(state, layer),
                    state[f"{layer}.noise_const"],
                    state[f"{layer}.noise_strength"],
                    up=name == "conv0",
                    clamp=architecture.clamp,
                )
            layer = f"synthesis.b{r}.torgb"
            self.colors[str(r)] = ToColors(
                state[f"{layer}.weight"],
                state[f"{layer}.bias"],
                _affine(state, layer),
                architecture.clamp,
            )
        self.upsample = Upsample(COLORS)

    def forward(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """Layer styles `[B, layers, style_size]` to images `[B, 3, H, W]`, mostly within [-1, 1]."""
        features = self.start(styles, noise)
        for r in self.resolutions[1:]:
            features = self.block(features, r, styles, noise)
        return self.image(features)

    def start(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """The coarsest block: features and image at 4x4, from the learned constant."""
        (given,) = self._noise(START, noise)
        features = self.convolutions[f"{START}_conv1"](self.get_buffer("const"), styles[:, 0], given)
        image = self.colors[str(START)](features, styles[:, 1])
        return torch.cat([features, image], dim=1)

    def block(self, features: Tensor, resolution: int, styles: Tensor, noise: Noise = "const") -> Tensor:
        """The block from half of `resolution` to `resolution`; it shares a style with each neighbour."""
        first = 2 * self.resolutions.index(resolution) - 1
        noises = self._noise(resolution, noise)
        values, image = features[:, :-COLORS], features[:, -COLORS:]
        values = self.convolutions[f"{resolution}_conv0"](values, styles[:, first], noises[0])
        values = self.convolutions[f"{resolution}_conv1"](values, styles[:, first + 1], noises[1])
        image = self.upsample(image) + self.colors[str(resolution)](values, styles[:, first + 2])
        return torch.cat([values, image], dim=1)

    def image(self, features: Tensor) -> Tensor:
        """What was added up so far, `[B, 3, r, r]`."""
        return features[:, -COLORS:]

    def _noise(self, resolution: int, noise: Noise) -> tuple[Tensor | None, ...]:
        names = convolutions(resolution)
        if noise == "none":
            return (None,) * len(names)
        if noise == "const":
            return tuple(self.convolutions[f"{resolution}_{name}"].get_buffer("noise") for name in names)
        assert isinstance(noise, Mapping)
        return noise[resolution]


def build(architecture: Architecture, state: State) -> tuple[MappingNetwork, SynthesisNetwork]:
    """Both networks of a generator, ready for inference.

    Raises:
        ValueError: as `checked_state`.
    """
    checked = checked_state(state, architecture)
    networks = MappingNetwork(architecture, checked), SynthesisNetwork(architecture, checked)
    for network in networks:
        network.eval()
    return networks


def _affine(state: State, layer: str) -> Dense:
    return Dense(state[f"{layer}.affine.weight"], state[f"{layer}.affine.bias"])
