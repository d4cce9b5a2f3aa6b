"""Sections of a SIS-UG pack's configuration: what each may hold, and what within it must fit together."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from training.config.sections import ClassifierSection, Positive, Rate, Section, Weight, Widths


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
    self_fraction: float = Field(gt=0, lt=1)

    @property
    def self_samples(self) -> int:
        """Samples of a batch whose target mask is their own: at least one, but not all."""
        return max(1, min(round(self.batch * self.self_fraction), self.batch - 1))


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
        if self.batch < 2:
            raise ValueError(
                f"batch: {self.batch} is too small; allowed is 2 or more, as one sample has its own mask for "
                "target and another a mask that is not"
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
    """The inverter, image to features, and its training."""

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


class JudgeSection(ClassifierSection):
    """The judge that evaluation asks, and its training."""

    width: Annotated[int, Field(gt=0, multiple_of=8)]


class FewShotSection(ClassifierSection):
    """Label maps from a handful of labelled samples: the segmenter's training, and the experiment's."""

    width: Positive
    candidates: Positive
    """Samples among which the handful is chosen."""
    samples: Positive
    """Samples that the segmenter labels for the experiment's mappers."""
    mapper: SupervisedSection
