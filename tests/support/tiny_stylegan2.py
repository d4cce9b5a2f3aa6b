"""A tiny random StyleGAN2 of 32 px, and a pack's configuration for it."""

from __future__ import annotations

from typing import Any

from tests.support.stylegan2_reference import random_state
from tests.support.tiny_pack import merged, tiny_config
from training.config import PackConfig, StyleGan2Section
from training.generators.stylegan2.architecture import Architecture
from training.generators.stylegan2.generator import StyleGan2Generator

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
SECTION: dict[str, Any] = {"resolution": 32, "truncation": 0.7, "noise": "const"}
CHANGES: dict[str, Any] = {
    "pack": {"name": "mine", "generator": "stylegan2"},
    "latent": {"scale": 1.0},
    "proxies": {"resolution": 16},
    "rearranger": {
        "cut": 16,
        "levels": ({"resolution": 8, "heads": 4, "head_dim": 8},),
        "hidden": {8: 32, 16: 16},
        "weights": {"features": {8: 0.5, 16: 1.0}},
    },
}


def tiny_state() -> dict[str, Any]:
    """Tensors of the generator."""
    return random_state(CHANNELS, latent=16, style=12)


def tiny_generator() -> StyleGan2Generator:
    """As the configuration cuts it."""
    section = StyleGan2Section.model_validate(SECTION)
    return StyleGan2Generator(ARCHITECTURE, tiny_state(), coarsest=8, finest=16, section=section)


def tiny_stylegan2_config(**section: Any) -> PackConfig:
    """The tiny configuration of faces64 for the pack `mine` on an imported generator."""
    changes = CHANGES | {"stylegan2": SECTION | section}
    return PackConfig.model_validate(merged(tiny_config().model_dump(), changes))
