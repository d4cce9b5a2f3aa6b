"""Typed configuration of a pack of the method GroupDNet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from training.config.packs import load_method_config
from training.config.palette import Palette
from training.config.sections import MAX_NUMBER, PACK_NAME, Positive, Rate, Section, Weight
from training.data.folders import FoldersSection
from training.groupdnet.network_config import NetworkSection
from training.sis_ug.sections import JudgeSection, SegmenterSection

METHOD = "groupdnet"
MAX_WHOLE_MAP = 1 << 18
"""Classes times numbers of all codes, for an expectation by the whole map."""


class StylesPackSection(Section):
    """What the pack is, as callers see it."""

    name: str = Field(pattern=PACK_NAME)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    method: Literal["groupdnet"]
    title: str
    description: str


class SamplesSection(Section):
    """Where images and label maps come from."""

    pack: str
    """A pack of the method SIS-UG: its labelled samples, its generator's images, its label segmenter."""
    samples: Positive | None = None
    """The first so many of its training samples; all where it is left out."""


def _kind_of_data(data: Any) -> str:
    """Which of both a [data] section is, so that only the errors of that one are told."""
    keys = data if isinstance(data, dict) else type(data).model_fields
    return "<pack>" if "pack" in keys else "<folders>"


DataSection = Annotated[
    Annotated[SamplesSection, Tag("<pack>")] | Annotated[FoldersSection, Tag("<folders>")],
    Discriminator(_kind_of_data),
]


class DiscriminatorSection(Section):
    """The discriminator, at each of its two scales."""

    width: Positive
    layers: int = Field(ge=2, le=8)


class StylesWeights(Section):
    """Weights of the losses."""

    adversarial: Weight
    matching: Weight
    pixels: Weight
    features: Weight
    label: Weight
    kl: Weight
    """For each nat of a sample."""
    leak: Weight
    style: Weight


class StylesTrainingSection(Section):
    """The training."""

    steps: Positive
    batch: int = Field(ge=4, le=MAX_NUMBER, multiple_of=2)
    learning_rate: Rate
    discriminator_learning_rate: Rate
    joint_spread: float = Field(gt=0, le=1)
    """Of codes drawn together about their mean, as a share of the training codes' spread."""
    single_spread: float = Field(gt=0, le=1)
    """The same of codes drawn each for itself."""
    discriminator: DiscriminatorSection
    judge: SegmenterSection | None = None
    """The label segmenter that losses ask, of packs with folders, which have no other's."""
    weights: StylesWeights


class StylesConfig(Section):
    """Everything that defines a pack of the method GroupDNet; an imported one has no data and no training."""

    pack: StylesPackSection
    palette: Palette
    data: DataSection | None = None
    network: NetworkSection
    training: StylesTrainingSection | None = None
    judge: JudgeSection | None = None
    """What the evaluation reads label maps with, and no loss asks; for folders with a share for it."""

    @model_validator(mode="after")
    def _network_has_the_palettes_classes(self) -> StylesConfig:
        if self.network.classes != len(self.palette):
            raise ValueError(
                f"network.classes: {self.network.classes}, but the palette has {len(self.palette)} classes"
            )
        return self

    @model_validator(mode="after")
    def _expectation_is_not_huge(self) -> StylesConfig:
        network = self.network
        if network.expectation == "whole_map" and network.classes * network.code_numbers > MAX_WHOLE_MAP:
            raise ValueError(
                f"network.expectation: 'whole_map' with {network.classes} classes and codes of "
                f"{network.code_numbers} numbers takes gigabytes; allowed are 'own_region' and 'none'"
            )
        return self

    @model_validator(mode="after")
    def _judges_are_there_when_needed(self) -> StylesConfig:
        if self.training is None or self.data is None:
            if self.training is not None or self.data is not None:
                raise ValueError("data and training: needed are both, or neither in an imported pack")
            return self
        judge, side = self.training.judge, self.network.image_side
        share = 0.0 if isinstance(self.data, SamplesSection) else self.data.judge
        if isinstance(self.data, SamplesSection) and self.judge is not None:
            raise ValueError(f"judge: only for folders; pack {self.data.pack!r} brings one")
        if (self.judge is None) != (share == 0):
            raise ValueError("judge and data.judge: the section and its share of the images go together")
        if isinstance(self.data, SamplesSection):
            if judge is not None:
                raise ValueError(f"training.judge: only for folders; pack {self.data.pack!r} brings one")
        elif judge is None:
            raise ValueError("training.judge: needed for folders, which bring none")
        elif side % 2 ** len(judge.widths):
            raise ValueError(
                f"training.judge.widths: {len(judge.widths)} levels do not halve {side} pixels; allowed are "
                f"up to {(side & -side).bit_length() - 1} widths"
            )
        return self

    @property
    def needed_training(self) -> StylesTrainingSection:
        """The section of the training.

        Raises:
            ValueError: if there is none, as in an imported pack.
        """
        if self.training is None:
            raise ValueError(
                f"pack {self.pack.name!r}: its configuration has no [data] and [training]; it was imported, "
                "and needs both to be trained or evaluated"
            )
        return self.training

    @property
    def shown_style(self) -> int:
        """The style whose single changes contact sheets show: hair, or else the last."""
        return self.style_names.index("hair") if "hair" in self.style_names else self.network.styles - 1

    @property
    def style_names(self) -> tuple[str, ...]:
        """For each style, the names of its classes joined by "+"."""
        return tuple(
            "+".join(
                name
                for name, own in zip(self.palette.names, self.network.style_classes, strict=True)
                if own == style
            )
            for style in range(self.network.styles)
        )


def load_styles_config(name: str) -> StylesConfig:
    """Read and check the configuration of a pack of the method GroupDNet.

    Raises:
        ValueError: if the pack is unknown or of another method, or its configuration does not fit.
    """
    return load_method_config(name, StylesConfig, METHOD)
