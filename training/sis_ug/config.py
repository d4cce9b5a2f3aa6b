"""Typed configuration of a pack of SIS-UG, read once from `training/packs/<pack>/config.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import model_validator

from training.config.packs import load_method_config, read_method_config
from training.config.palette import Palette
from training.config.sections import PackSection, Section
from training.data.seeds import DataSection
from training.generators.sections import LatentSection, StyleGan2Section
from training.sis_ug.sections import (
    FewShotSection,
    InversionSection,
    JudgeSection,
    MapperSection,
    ProxiesSection,
    ReaderSection,
    RearrangerSection,
)
from training.sis_ug.students.config import StudentsSection

SIS_UG = "sis-ug"
STYLEGAN2 = "stylegan2"
FOLDS = (2, 4, 8, 16, 32)

Needed = TypeVar("Needed", bound=Section)


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
    few_shot: FewShotSection | None = None
    judge: JudgeSection | None = None
    students: StudentsSection | None = None

    @model_validator(mode="after")
    def _masks_reach_the_cut(self) -> PackConfig:
        if self.rearranger.cut > self.proxies.resolution:
            raise ValueError(
                f"rearranger.cut: {self.rearranger.cut} is finer than proxies.resolution, "
                f"{self.proxies.resolution}"
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

    @model_validator(mode="after")
    def _inverter_reaches_the_levels(self) -> PackConfig:
        if self.inversion is not None:
            if self.stylegan2 is not None:
                raise ValueError(
                    f"inversion: images give no layer styles, which pack.generator = {STYLEGAN2!r} needs"
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
    def _students_fit(self) -> PackConfig:
        if self.students is None:
            return self
        finest = self.rearranger.levels[-1].resolution
        if self.proxies.resolution == finest:
            raise ValueError(
                f"students: proxy masks of {finest} cells a side, as the finest attended features; they must "
                "have more"
            )
        found, allowed = sorted(self.students.rearranger.weights.features), sorted(self.rearranger.hidden)
        if not set(found) <= set(allowed):
            raise ValueError(
                f"students.rearranger.weights.features: can have the resolutions {allowed}, found {found}"
            )
        return self

    @property
    def fold(self) -> int:
        """Pixels per side of an image for each cell of a proxy mask."""
        if self.stylegan2 is None:
            return min(FOLDS)
        return self.stylegan2.resolution // self.proxies.resolution


def reader_section(config: PackConfig, name: str) -> ReaderSection:
    """The pack's section "sketch" or "scribble".

    Raises:
        ValueError: if it has none.
    """
    section: ReaderSection | None = getattr(config, name)
    return _needed(section, config, name)


def inversion_section(config: PackConfig) -> InversionSection:
    """The pack's section for inversion.

    Raises:
        ValueError: if it has none.
    """
    return _needed(config.inversion, config, "inversion")


def few_shot_section(config: PackConfig) -> FewShotSection:
    """The pack's section for few labels.

    Raises:
        ValueError: if it has none.
    """
    return _needed(config.few_shot, config, "few_shot")


def students_section(config: PackConfig) -> StudentsSection:
    """The pack's section for students.

    Raises:
        ValueError: if it has none.
    """
    return _needed(config.students, config, "students")


def judge_section(config: PackConfig) -> JudgeSection:
    """The pack's section for the judge.

    Raises:
        ValueError: if it has none.
    """
    return _needed(config.judge, config, "judge")


def _needed(section: Needed | None, config: PackConfig, name: str) -> Needed:
    if section is None:
        raise ValueError(f"pack {config.pack.name!r}: its configuration has no section [{name}]")
    return section


def load_config(name: str) -> PackConfig:
    """Read and check the configuration of a pack of the method SIS-UG.

    Raises:
        ValueError: if the pack is unknown or of another method, or as `read_config`.
    """
    return load_method_config(name, PackConfig, SIS_UG)


def read_config(path: Path) -> PackConfig:
    """Read and check a configuration file of the method SIS-UG.

    Raises:
        ValueError: if the file is no TOML or does not fit the schema; one line with file, fields and reasons.
    """
    return read_method_config(path, PackConfig)
