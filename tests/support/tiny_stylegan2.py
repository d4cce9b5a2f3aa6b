"""A tiny random StyleGAN2 of 32 px; `tiny_stylegan2.toml` is the configuration of a pack for it."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tests.support.stylegan2_reference import random_state
from training.generators.sections import StyleGan2Section
from training.generators.stylegan2.architecture import Architecture
from training.generators.stylegan2.generator import StyleGan2Generator

CONFIG = Path(__file__).with_suffix(".toml")
CHANNELS = {4: 16, 8: 16, 16: 12, 32: 8}
ARCHITECTURE = Architecture(
    resolution=32,
    latent_size=16,
    style_size=12,
    mapping_layers=2,
    mapping_rate=0.01,
    channels=CHANNELS,
    clamp=256.0,
)


def tiny_state() -> dict[str, Tensor]:
    """Tensors of the generator."""
    return random_state(CHANNELS, latent=16, style=12)


def tiny_generator() -> StyleGan2Generator:
    """As the configuration cuts it."""
    section = StyleGan2Section(resolution=32, truncation=0.7, noise="const")
    return StyleGan2Generator(ARCHITECTURE, tiny_state(), coarsest=8, finest=16, section=section)
