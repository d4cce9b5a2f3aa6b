"""Typed configuration of a pack, read once from `training/packs/<pack>/config.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from training.palette import Palette

PACKS = Path(__file__).parent / "packs"

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PackSection(Section):
    """What the pack is, as callers see it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    method: str
    title: str
    description: str
    generator: str


class LatentSection(Section):
    """The distribution latents are drawn from: N(0, scale^2)."""

    scale: float = Field(gt=0, le=2)


class DataSection(Section):
    """Labelled samples of the generator; train and held-out seeds must not meet."""

    train_samples: Positive
    train_first_seed: int = Field(ge=0)
    heldout_samples: Positive
    heldout_first_seed: int = Field(ge=0)
    labeller: str


class SegmenterSection(Section):
    """Training of the proxy segmenter."""

    widths: tuple[int, ...]
    steps: Positive
    batch: Positive
    learning_rate: Rate


class ProxiesSection(Section):
    """Clustering."""

    clusters: int = Field(ge=2, le=255)
    resolution: Positive
    components: Positive
    samples: Positive
    cells: Positive
    segmenter: SegmenterSection


class LevelSection(Section):
    """Cross-attention at one resolution."""

    resolution: Positive
    heads: Positive
    head_dim: Positive


class RearrangerWeights(Section):
    """Weights of the rearranger's losses."""

    image: Weight
    features: dict[int, Weight]
    mask: Weight
    mask_noise: Weight
    style: Weight
    adversarial: Weight
    gradient_penalty: Weight
    gradient_penalty_every: Positive


class RearrangerSection(Section):
    """The rearranger and its training."""

    cut: Positive
    width: Positive
    levels: tuple[LevelSection, ...] = Field(min_length=1)
    hidden: dict[int, Positive]
    steps: Positive
    batch: Positive
    self_fraction: float = Field(ge=0, le=1)
    learning_rate: Rate
    discriminator_learning_rate: Rate
    weights: RearrangerWeights


class LabelSegmenterSection(Section):
    """Training of the label segmenter, the cycle's judge."""

    steps: Positive
    batch: Positive
    learning_rate: Rate


class SupervisedSection(Section):
    """First phase of the mapper's training: cross-entropy against proxy masks."""

    steps: Positive
    batch: Positive
    learning_rate: Rate
    histogram_dropout: float = Field(ge=0, le=1)


class CycleWeights(Section):
    """Weights of the cycle's losses."""

    proxy: Weight
    label: Weight
    style: Weight
    adversarial: Weight
    mask: Weight
    image: Weight


class CycleSection(Section):
    """Last phase: mapper and rearranger together, through the frozen generator, to the label segmenter."""

    steps: Positive
    batch: Positive
    self_fraction: float = Field(ge=0, le=1)
    learning_rate: Rate
    rearranger_learning_rate: Rate
    discriminator_learning_rate: Rate
    weights: CycleWeights


class StyleStrengthSection(Section):
    """The dial between style (1) and alignment (0)."""

    default: float = Field(ge=0, le=1)


class MapperSection(Section):
    """The semantic mapper for label maps and its training."""

    widths: tuple[int, ...]
    label_segmenter: LabelSegmenterSection
    supervised: SupervisedSection
    cycle: CycleSection
    style_strength: StyleStrengthSection


class PackConfig(Section):
    """Everything that defines a pack."""

    pack: PackSection
    palette: Palette
    latent: LatentSection
    data: DataSection
    proxies: ProxiesSection
    rearranger: RearrangerSection
    mapper: MapperSection


def available_packs() -> tuple[str, ...]:
    """Names of the packs that have a configuration."""
    return tuple(sorted(path.parent.name for path in PACKS.glob("*/config.toml")))


def pack_folder(name: str) -> Path:
    """Folder of a pack.

    Raises:
        ValueError: if there is no such pack; the message names those there are.
    """
    if name not in available_packs():
        raise ValueError(f"pack {name!r} is unknown; available: {', '.join(available_packs())}")
    return PACKS / name


def load_config(name: str) -> PackConfig:
    """Read and check a pack's configuration.

    Raises:
        ValueError: if the pack is unknown or the file does not fit the schema (pydantic names the field).
    """
    return read_config(pack_folder(name) / "config.toml")


def read_config(path: Path) -> PackConfig:
    """Read and check a configuration file; raises ValueError as `load_config`."""
    return PackConfig.model_validate(tomllib.loads(path.read_text()))
