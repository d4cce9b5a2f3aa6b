"""Packs on disk: a folder each, whose `config.toml` is read and checked against the schema of its method."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from training.config.sections import Section, validation_reasons

PACKS = Path(__file__).parents[1] / "packs"
"""Those of the product."""
OWN_PACKS = Path("packs")
"""A user's own, below the working directory. Where both have a name, it is the user's."""

Config = TypeVar("Config", bound=Section)


def available_packs() -> tuple[str, ...]:
    """Names of the packs that have a configuration."""
    return tuple(sorted(_folders()))


def pack_folder(name: str) -> Path:
    """Folder of a pack.

    Raises:
        ValueError: if there is no such pack; the message names those there are.
    """
    folders = _folders()
    if name not in folders:
        raise ValueError(f"pack {name!r} is unknown; available: {', '.join(sorted(folders))}")
    return folders[name]


def _folders() -> dict[str, Path]:
    return {
        file.parent.name: file.parent for place in (PACKS, OWN_PACKS) for file in place.glob("*/config.toml")
    }


def pack_method(name: str) -> str:
    """The method a pack's configuration names, before anything else of it is checked; "" if none."""
    section = _read_toml(pack_folder(name) / "config.toml").get("pack")
    return str(section.get("method", "")) if isinstance(section, dict) else ""


def load_method_config(name: str, schema: type[Config], method: str) -> Config:
    """Read and check the configuration of a pack, which must be of the method given.

    Raises:
        ValueError: if the pack is unknown or of another method, or as `read_method_config`.
    """
    found = pack_method(name)
    if not found:
        path = pack_folder(name) / "config.toml"
        raise ValueError(f"{path}: no [pack] that names a method; this is for packs of {method!r}")
    if found != method:
        raise ValueError(f"pack {name!r} is of the method {found!r}; this is for packs of {method!r}")
    return read_method_config(pack_folder(name) / "config.toml", schema)


def read_method_config(path: Path, schema: type[Config]) -> Config:
    """Read and check a configuration file.

    Raises:
        ValueError: if the file is no TOML or does not fit the schema; one line with file, fields and reasons.
    """
    try:
        return schema.model_validate(_read_toml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {validation_reasons(error)}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is no file")
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except ValueError as error:  # no TOML, or no text
        raise ValueError(f"{path}: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply") from None
