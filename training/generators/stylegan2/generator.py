"""An imported StyleGAN2 as a frozen generator, cut at any resolution."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.generators.base import FeaturePyramid, Generator
from training.generators.sections import StyleGan2Section
from training.generators.stylegan2.architecture import COLORS, Architecture, State, checked_state
from training.generators.stylegan2.network import build


class StyleGan2Generator(Generator):
    """StyleGAN2 with output skips.

    The image in the making is the last three channels of every feature map: rearranged features whose
    image stayed behind would give ghosts of the old layout.

    Args:
        architecture: sizes.
        state: tensors named as in `architecture.tensor_shapes`.
        coarsest: resolution of the head's first feature map.
        finest: resolution of its last.
        section: truncation and noise.

    Raises:
        ValueError: if a tensor is missing or of another shape, or a setting does not fit the architecture.
    """

    skip_channels = COLORS

    def __init__(
        self,
        architecture: Architecture,
        state: State,
        *,
        coarsest: int,
        finest: int,
        section: StyleGan2Section,
    ) -> None:
        super().__init__()
        if section.resolution != architecture.resolution:
            raise ValueError(
                f"stylegan2.resolution: {section.resolution}, but the generator has {architecture.resolution}"
            )
        self.latent_dim, self.image_size = architecture.latent_size, architecture.resolution
        self.channels = {
            r: channels + COLORS
            for r, channels in sorted(architecture.channels.items())
            if coarsest <= r <= finest
        }
        self.styles_shape = (architecture.layers, architecture.style_size)
        self.noise = section.noise
        self.mapping, self.synthesis = build(architecture, state)
        truncation = torch.full((architecture.layers,), section.truncation)
        if section.truncated_layers is not None:
            truncation[section.truncated_layers :] = 1
        self.register_buffer("truncation", truncation)

    def styles(self, latent: Tensor) -> Tensor:
        """Layer styles `[B, layers, style_size]` of latents `[B, latent_dim]`, truncated."""
        truncated: Tensor = self.mapping.truncated(self.mapping(latent), self.get_buffer("truncation"))
        return truncated

    def head(self, latent: Tensor, upto: int, styles: Tensor | None = None) -> FeaturePyramid:
        """See `Generator.head`."""
        if styles is None:
            styles = self.styles(latent)
        features = self.synthesis.start(styles, self.noise)
        pyramid = {}
        for r in self.synthesis.resolutions:
            if r > upto:
                break
            if r > min(self.synthesis.resolutions):
                features = self.block(features, r, styles)
            if r in self.channels:
                pyramid[r] = features
        return pyramid

    def block(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Features `[B, C + 3, r/2, r/2]` to `[B, C' + 3, r, r]` at r = `resolution`."""
        return self.synthesis.block(features, resolution, _given(styles), self.noise)

    def tail(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Features at `resolution` to images in [-1, 1]; the few values beyond are clamped."""
        for finer in self.synthesis.resolutions:
            if finer > resolution:
                features = self.block(features, finer, styles)
        return self.synthesis.image(features).clamp(-1, 1)

    def in_range(self, features: Tensor) -> Tensor:
        """Unchanged: behind a leaky ReLU every number is possible."""
        return features


def _given(styles: Tensor | None) -> Tensor:
    if styles is None:
        raise ValueError("StyleGAN2 needs the layer styles of the latents")
    return styles


def config_path(weights: Path) -> Path:
    """The file beside the weights that holds the architecture."""
    return weights.with_suffix(".json")


def save_stylegan2(architecture: Architecture, state: State, weights: Path, source: dict[str, str]) -> None:
    """Write a generator's tensors to `weights` (safetensors) and its architecture beside them (JSON).

    Args:
        architecture: sizes.
        state: its tensors.
        weights: the file to write.
        source: what is to be remembered of where it came from.
    """
    weights.parent.mkdir(parents=True, exist_ok=True)
    save_file(checked_state(state, architecture), weights)
    described = {"architecture": architecture.model_dump(mode="json"), "source": source}
    config_path(weights).write_text(json.dumps(described, indent=2) + "\n")


def load_stylegan2(
    weights: Path, section: StyleGan2Section, *, coarsest: int, finest: int
) -> StyleGan2Generator:
    """Read an imported generator.

    Args:
        weights: written by `maskweave import stylegan2`.
        section: truncation and noise.
        coarsest: resolution of the head's first feature map.
        finest: resolution of its last.

    Raises:
        FileNotFoundError: if it has not been imported, with the command's name.
        ValueError: if a file is damaged or does not fit the pack's configuration.
    """
    described = config_path(weights)
    for path in (weights, described):
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: make it with `maskweave import stylegan2` (see docs/stylegan2.md)"
            )
    try:
        architecture = Architecture.model_validate(json.loads(described.read_text())["architecture"])
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{described}: describes no StyleGAN2 ({_first_line(error)})") from None
    try:
        state = load_file(weights)
        return StyleGan2Generator(
            architecture, state, coarsest=coarsest, finest=finest, section=section
        ).eval()
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{weights}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return str(error).splitlines()[0]
