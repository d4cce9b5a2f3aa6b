"""Typed configuration of a pack, read once from `training/packs/<pack>/config.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError, model_validator

from training.batches import batches, divided, raised
from training.data.seeds import DataSection
from training.palette import Palette
from training.sections import (
    FewShotSection,
    InversionSection,
    JudgeSection,
    LatentSection,
    MapperSection,
    PackSection,
    ProxiesSection,
    ReaderSection,
    RearrangerSection,
    Section,
    StyleGan2Section,
)

PACKS = Path(__file__).parent / "packs"
SIS_UG = "sis-ug"
STYLEGAN2 = "stylegan2"
FOLDS = (2, 4, 8, 16, 32)

Config = TypeVar("Config", bound=Section)
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


def shared_out(config: Config, section: str, shards: int) -> Config:
    """The configuration as it is for one of `shards` equal parts of every batch of a section.

    Raises:
        ValueError: if a batch cannot be divided so, or the parts are too small; says how many parts there
            can be, and which batch would do.
    """
    values = config.model_dump()
    if shards == 1 or values[section] is None:
        return config
    try:
        values[section] = divided(values[section], section, shards)
        return type(config).model_validate(values)
    except ValidationError as error:
        reason = f"one of {shards} parts of a batch: {_complaints(error)}"
    except ValueError as error:
        reason = str(error)
    raise ValueError(
        f"{reason} (parts are devices x nodes x accumulate); {_what_works(config, section, shards)}"
    )


def _what_works(config: Section, section: str, shards: int) -> str:
    """How many parts a section's batches can be divided into, and the least batches for `shards`."""
    whole = config.model_dump()

    def works(values: dict[str, Any], parts: int) -> bool:
        try:
            type(config).model_validate(whole | {section: divided(values, section, parts)})
        except ValueError:
            return False
        return True

    allowed = [str(parts) for parts in range(1, shards) if works(whole[section], parts)]
    told = f"it can be {' or '.join(allowed)}"
    for least in (1, 2, 3):  # samples of a part
        larger = raised(whole[section], shards, least)
        if works(larger, shards):
            sizes = (f"{name} = {size}" for name, size in batches(larger, section).items())
            return f"{told}, or {shards} with {', '.join(sizes)}"
    return told


def read_config(path: Path) -> PackConfig:
    """Read and check a configuration file of the method SIS-UG.

    Raises:
        ValueError: if the file is no TOML or does not fit the schema; one line with file, fields and reasons.
    """
    return _read(path, PackConfig)


def _read(path: Path, schema: type[Config]) -> Config:
    return _checked(_read_toml(path), schema, str(path))


def _checked(values: dict[str, Any], schema: type[Config], source: str) -> Config:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{source}: {_complaints(error)}") from None


def _complaints(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
