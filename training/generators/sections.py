"""Sections of a pack's configuration that describe its generator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from training.config.sections import Positive, Section


class StyleGan2Section(Section):
    """An imported StyleGAN2, and how it is run."""

    weights: Path = Path("stylegan2.safetensors")
    """Written by `maskweave import stylegan2`; relative to the pack's folder."""
    resolution: Positive
    truncation: float = Field(ge=0, le=1)
    truncated_layers: Positive | None = None
    """How many layers, from the coarsest on; all if left out."""
    noise: Literal["const", "none"]


class LatentSection(Section):
    """The distribution latents are drawn from: N(0, scale^2)."""

    scale: float = Field(gt=0, le=2)
