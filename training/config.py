"""Typed configuration of a pack, read once from `training/packs/<pack>/config.toml`."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.palette import Palette

PACKS = Path(__file__).parent / "packs"
SIS_UG = "sis-ug"
STYLEGAN2 = "stylegan2"
FOLDS = (2, 4, 8, 16, 32)

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Widths = Annotated[tuple[Positive, ...], Field(min_length=1)]
"""Channels of a U-Net's levels."""


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Config = TypeVar("Config", bound=Section)


class PackSection(Section):
    """What the pack is, as callers see it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    method: str
    title: str
    description: str
    generator: str


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


class DataSection(Section):
    """Labelled samples of the generator; train and held-out seeds must not meet."""

    train_samples: Positive
    train_first_seed: int = Field(ge=0)
    heldout_samples: Positive
    heldout_first_seed: int = Field(ge=0)
    labeller: str

    def seeds(self, split: str) -> range:
        """Seeds of the samples of a split, "train" or "heldout"."""
        first, count = {
            "train": (self.train_first_seed, self.train_samples),
            "heldout": (self.heldout_first_seed, self.heldout_samples),
        }[split]
        return range(first, first + count)

    @model_validator(mode="after")
    def _splits_do_not_meet(self) -> DataSection:
        train, heldout = self.seeds("train"), self.seeds("heldout")
        if train.start < heldout.stop and heldout.start < train.stop:
            raise ValueError(
                f"train seeds {train.start} to {train.stop - 1} and held-out seeds {heldout.start} to "
                f"{heldout.stop - 1} must not meet"
            )
        return self


class ClassifierSection(Section):
    """Training of a network that gives every cell a class."""

    steps: Positive
    batch: Positive
    learning_rate: Rate


class SegmenterSection(ClassifierSection):
    """The proxy segmenter and its training."""

    widths: Widths


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


class MixedBatchSection(Section):
    """A batch some of whose samples have their own mask for target and must come back as they were."""

    batch: Positive
    self_fraction: float = Field(ge=0, le=1)

    @property
    def self_samples(self) -> int:
        """Samples of a batch whose target mask is their own."""
        return round(self.batch * self.self_fraction)


class RearrangerSection(MixedBatchSection):
    """The rearranger and its training."""

    cut: Positive
    width: Positive
    levels: tuple[LevelSection, ...] = Field(min_length=1)
    hidden: dict[int, Positive]
    steps: Positive
    learning_rate: Rate
    discriminator_learning_rate: Rate
    weights: RearrangerWeights

    @model_validator(mode="after")
    def _resolutions_fit(self) -> RearrangerSection:
        attended = [level.resolution for level in self.levels]
        if any(finer != 2 * coarser for coarser, finer in pairwise(attended)):
            raise ValueError(f"levels: each resolution must be twice the one before, found {attended}")
        rearranged = [attended[0]]
        while rearranged[-1] < self.cut:
            rearranged.append(2 * rearranged[-1])
        if rearranged[-1] != self.cut or self.cut < attended[-1]:
            raise ValueError(f"cut: must be {attended[-1]} or that doubled some times, found {self.cut}")
        if sorted(self.hidden) != rearranged:
            raise ValueError(f"hidden: needs the resolutions {rearranged}, found {sorted(self.hidden)}")
        if not set(self.weights.features) <= set(rearranged):
            found = sorted(self.weights.features)
            raise ValueError(f"weights.features: can have the resolutions {rearranged}, found {found}")
        return self

    @model_validator(mode="after")
    def _batch_has_both_kinds(self) -> RearrangerSection:
        if not 1 <= self.self_samples <= self.batch - 2:
            raise ValueError(
                f"self_fraction: {self.self_fraction} of a batch of {self.batch} are {self.self_samples} "
                "samples with their own mask; there must be at least 1, and at least 2 others to swap masks"
            )
        return self


class SupervisedSection(ClassifierSection):
    """First phase of the mapper's training: cross-entropy against proxy masks."""

    histogram_dropout: float = Field(ge=0, le=1)


class CycleWeights(Section):
    """Weights of the cycle's losses."""

    proxy: Weight
    label: Weight
    style: Weight
    adversarial: Weight
    mask: Weight
    image: Weight


class CycleSection(MixedBatchSection):
    """Last phase: mapper and rearranger together, through the frozen generator, to the label segmenter."""

    steps: Positive
    learning_rate: Rate
    rearranger_learning_rate: Rate
    discriminator_learning_rate: Rate
    weights: CycleWeights


class StyleStrengthSection(Section):
    """The dial between style (1) and alignment (0)."""

    default: float = Field(ge=0, le=1)


class MapperSection(Section):
    """The semantic mapper for label maps and its training."""

    widths: Widths
    label_segmenter: ClassifierSection
    supervised: SupervisedSection
    cycle: CycleSection
    style_strength: StyleStrengthSection


class ReaderSection(ClassifierSection):
    """What reads drawings as label maps, and its training."""

    widths: Widths


class InversionWeights(Section):
    """Weights of the inverter's losses."""

    image: Weight
    features: dict[int, Weight]
    kept: Weight


class InversionSection(Section):
    """The inverter, picture to features, and its training."""

    widths: Widths
    depth: Positive
    steps: Positive
    batch: Positive
    plain_fraction: float = Field(gt=0, lt=1)
    kept_samples: Positive
    learning_rate: Rate
    weights: InversionWeights

    @property
    def plain_samples(self) -> int:
        """Samples of a batch that are not distorted."""
        return round(self.batch * self.plain_fraction)

    @model_validator(mode="after")
    def _batch_has_both_kinds(self) -> InversionSection:
        if not 1 <= self.plain_samples <= self.batch - 1:
            raise ValueError(
                f"plain_fraction: {self.plain_fraction} of a batch of {self.batch} are {self.plain_samples} "
                "samples; there must be at least 1, and at least 1 other"
            )
        return self


class PackConfig(Section):
    """Everything that defines a pack."""

    pack: PackSection
    stylegan2: StyleGan2Section | None = None
    palette: Palette
    latent: LatentSection
    data: DataSection
    proxies: ProxiesSection
    rearranger: RearrangerSection
    mapper: MapperSection
    sketch: ReaderSection | None = None
    scribble: ReaderSection | None = None
    inversion: InversionSection | None = None

    @model_validator(mode="after")
    def _masks_reach_the_cut(self) -> PackConfig:
        if self.rearranger.cut > self.proxies.resolution:
            raise ValueError(
                f"rearranger.cut: {self.rearranger.cut} is finer than proxies.resolution, "
                f"{self.proxies.resolution}"
            )
        return self

    @model_validator(mode="after")
    def _inverter_reaches_the_levels(self) -> PackConfig:
        if self.inversion is not None:
            if self.stylegan2 is not None:
                raise ValueError(
                    f"inversion: pictures give no layer styles, which pack.generator = {STYLEGAN2!r} needs"
                )
            attended = [level.resolution for level in self.rearranger.levels]
            levels = (self.proxies.resolution // attended[0]).bit_length()
            if len(self.inversion.widths) != levels:
                raise ValueError(
                    f"inversion.widths: needs {levels} numbers, for {self.proxies.resolution} cells a side "
                    f"down to {attended[0]}, found {len(self.inversion.widths)}"
                )
            if not set(self.inversion.weights.features) <= set(attended):
                found = sorted(self.inversion.weights.features)
                raise ValueError(
                    f"inversion.weights.features: can have the resolutions {attended}, found {found}"
                )
        return self

    @model_validator(mode="after")
    def _generator_is_described(self) -> PackConfig:
        if (self.pack.generator == STYLEGAN2) != (self.stylegan2 is not None):
            raise ValueError(
                f"stylegan2: this section belongs to pack.generator = {STYLEGAN2!r}, which needs it; found "
                f"{self.pack.generator!r} {'without' if self.stylegan2 is None else 'with'} it"
            )
        if self.stylegan2 and (
            self.fold not in FOLDS or self.fold * self.proxies.resolution != self.stylegan2.resolution
        ):
            raise ValueError(
                f"proxies.resolution: must be stylegan2.resolution, {self.stylegan2.resolution}, divided by "
                f"one of {', '.join(map(str, FOLDS))}, found {self.proxies.resolution}"
            )
        return self

    @property
    def fold(self) -> int:
        """Pixels per side of a picture for each cell of a proxy mask."""
        if self.stylegan2 is None:
            return min(FOLDS)
        return self.stylegan2.resolution // self.proxies.resolution


def reader_section(config: PackConfig, name: str) -> ReaderSection:
    """The pack's section "sketch" or "scribble".

    Raises:
        ValueError: if it has none.
    """
    section: ReaderSection | None = getattr(config, name)
    if section is None:
        raise ValueError(f"pack {config.pack.name!r}: its configuration has no section [{name}]")
    return section


def inversion_section(config: PackConfig) -> InversionSection:
    """The pack's section for inversion.

    Raises:
        ValueError: if it has none.
    """
    if config.inversion is None:
        raise ValueError(f"pack {config.pack.name!r}: its configuration has no section [inversion]")
    return config.inversion


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


def pack_method(name: str) -> str:
    """The method a pack's configuration names, before anything else of it is checked; "" if none."""
    return str(_read_toml(pack_folder(name) / "config.toml").get("pack", {}).get("method", ""))


def load_config(name: str) -> PackConfig:
    """Read and check the configuration of a pack of the method SIS-UG.

    Raises:
        ValueError: if the pack is unknown or of another method, or as `read_config`.
    """
    return load_method_config(name, PackConfig, SIS_UG)


def load_method_config(name: str, schema: type[Config], method: str) -> Config:
    """Read and check the configuration of a pack, which must be of the method given.

    Raises:
        ValueError: if the pack is unknown or of another method, or as `read_config`.
    """
    if (found := pack_method(name)) != method:
        raise ValueError(f"pack {name!r} is of the method {found!r}; this is for packs of {method!r}")
    return _read(pack_folder(name) / "config.toml", schema)


def read_config(path: Path) -> PackConfig:
    """Read and check a configuration file of the method SIS-UG.

    Raises:
        ValueError: if the file is no TOML or does not fit the schema; one line with file, fields and reasons.
    """
    return _read(path, PackConfig)


def _read(path: Path, schema: type[Config]) -> Config:
    try:
        return schema.model_validate(_read_toml(path))
    except ValidationError as error:
        found = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"{path}: {'; '.join(found)}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
