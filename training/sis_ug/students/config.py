"""The section `[students]` of a pack's configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from training.config.sections import ClassifierSection, Positive, Section, Weight
from training.sis_ug.sections import CycleSection


class StudentSection(ClassifierSection):
    """Training of a student."""

    batches: Positive
    """Different ones; the teachers' answers to them are kept in memory."""


class ReaderStudentSection(StudentSection):
    """The proxy reader and its training."""

    width: Positive


class LowRankSection(StudentSection):
    """A low-rank copy of a network and its training."""

    energy: float = Field(gt=0, le=1)
    """Share of each convolution's variance that its rank holds at first."""


class RearrangerStudentWeights(Section):
    """Weights of the lean rearranger's losses."""

    embeddings: Weight
    """L1 of what the attention sees of the masks, over its standard deviation."""
    features: dict[int, Weight]
    """L1 of features, over their standard deviation."""
    image: Weight
    """L1 of images."""


class RearrangerStudentSection(LowRankSection):
    """The lean rearranger and its training."""

    own_fraction: float = Field(ge=0, le=1)
    """Of a batch: the target is the source's own proxy mask."""
    exemplar_fraction: float = Field(ge=0, le=1)
    """Of a batch: the target is another sample's proxy mask; for the others, it is the mapper's."""
    weights: RearrangerStudentWeights

    @model_validator(mode="after")
    def _fractions_fit(self) -> RearrangerStudentSection:
        if self.own_fraction + self.exemplar_fraction > 1:
            raise ValueError(
                f"own_fraction: {self.own_fraction} and exemplar_fraction: {self.exemplar_fraction} are more "
                "than 1 together"
            )
        return self


class StudentsSection(Section):
    """The students that are served in their teachers' place, and their training."""

    reader: ReaderStudentSection
    mapper: LowRankSection
    rearranger: RearrangerStudentSection
    cycle: CycleSection
