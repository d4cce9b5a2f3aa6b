"""Which samples of the generator are for what: splits by seed, as a pack's configuration gives them."""

from __future__ import annotations

from itertools import combinations

from pydantic import Field, model_validator

from training.config.sections import Positive, Section


class SeedsSection(Section):
    """Samples of the generator, by seed."""

    samples: Positive
    first_seed: int = Field(ge=0)


class DataSection(Section):
    """Labelled samples of the generator; no two splits' seeds may meet."""

    train_samples: Positive
    train_first_seed: int = Field(ge=0)
    heldout_samples: Positive
    heldout_first_seed: int = Field(ge=0)
    labeller: str | None = None
    """A program from images to label maps; None where a handful is labelled by hand instead."""
    validation: SeedsSection | None = None
    """What is looked at while a pack is being made, so that the held-out split need not be."""
    judge: SeedsSection | None = None
    """What the judge is trained on, and nothing else."""

    def seeds(self, split: str) -> range:
        """Seeds of the samples of a split.

        Raises:
            ValueError: if the configuration has no such split.
        """
        if split not in self._ranges:
            raise ValueError(f"data.{split}: the configuration has no such split")
        return self._ranges[split]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that there are: "train", "heldout", and "validation" and "judge" where they are given."""
        return tuple(self._ranges)

    @property
    def _ranges(self) -> dict[str, range]:
        given = {
            "train": (self.train_first_seed, self.train_samples),
            "heldout": (self.heldout_first_seed, self.heldout_samples),
        }
        for split, section in (("validation", self.validation), ("judge", self.judge)):
            if section is not None:
                given[split] = section.first_seed, section.samples
        return {split: range(first, first + count) for split, (first, count) in given.items()}

    @model_validator(mode="after")
    def _splits_do_not_meet(self) -> DataSection:
        for (one, seeds), (other, others) in combinations(self._ranges.items(), 2):
            if seeds.start < others.stop and others.start < seeds.stop:
                raise ValueError(
                    f"{one} seeds {seeds.start} to {seeds.stop - 1} and {other} seeds {others.start} to "
                    f"{others.stop - 1} must not meet"
                )
        return self
