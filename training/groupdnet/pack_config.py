"""Typed configuration of a pack of the method GroupDNet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.config import Positive, Rate, Section, Weight, load_method_config
from training.groupdnet.config import NetworkSection
from training.palette import Palette

METHOD = "groupdnet"


class StylesPackSection(Section):
    """What the pack is, as callers see it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    method: Literal["groupdnet"]
    title: str
    description: str


class SamplesSection(Section):
    """Where pictures and label maps come from."""

    pack: str
    """A pack of the method SIS-UG: its labelled samples, its generator's pictures, its label segmenter."""


class DiscriminatorSection(Section):
    """The discriminator, at each of its two scales."""

    width: Positive
    layers: int = Field(ge=2)


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
    batch: int = Field(ge=4, multiple_of=2)
    learning_rate: Rate
    discriminator_learning_rate: Rate
    joint_spread: float = Field(gt=0, le=1)
    """Of codes drawn together about their mean, as a share of the training codes' spread."""
    single_spread: float = Field(gt=0, le=1)
    """The same of codes drawn each for itself."""
    discriminator: DiscriminatorSection
    weights: StylesWeights


class StylesConfig(Section):
    """Everything that defines a pack of the method GroupDNet."""

    pack: StylesPackSection
    palette: Palette
    data: SamplesSection
    network: NetworkSection
    training: StylesTrainingSection

    @model_validator(mode="after")
    def _network_has_the_palettes_classes(self) -> StylesConfig:
        if self.network.classes != len(self.palette):
            raise ValueError(
                f"network.classes: {self.network.classes}, but the palette has {len(self.palette)} classes"
            )
        return self

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
