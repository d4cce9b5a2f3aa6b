"""Reads a Triton model repository from disk: its models, and the versions and files each loads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.core.diagnostics import Diagnostics
from service.engine.embedded.config_reader import read_model_config
from service.engine.embedded.model_config import ModelConfig, VersionPolicy

CONFIG_FILE = "config.pbtxt"
_VERSION = re.compile(r"[1-9][0-9]*")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a repository.

    Attributes:
        config: Its config.
        versions: The versions to load, ascending, each with its model file; for an ensemble,
            which has no file, with its directory.
    """

    config: ModelConfig
    versions: Mapping[int, Path]

    @property
    def newest(self) -> int:
        """The version that runs when none is asked for."""
        return max(self.versions)


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository holds.

    Attributes:
        names: Every model directory, readable or not.
        entries: The models that could be read, by name.
    """

    names: frozenset[str]
    entries: Mapping[str, ModelEntry]


def read_repository(root: Path, diagnostics: Diagnostics) -> Repository:
    """Read every model below `root`.

    Args:
        root: The repository: one directory per model. Files and hidden directories are passed over.
        diagnostics: Gets every problem; models with one are left out of the result.
    """
    try:
        directories = sorted(
            path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))
        )
    except OSError as error:
        diagnostics.add(
            root, "", f"cannot be read: {error.strerror}", "a directory with one directory per model"
        )
        return Repository(frozenset(), {})
    if not directories:
        diagnostics.add(root, "", "holds no models", "a directory with one directory per model")
    entries: dict[str, ModelEntry] = {}
    for directory in directories:
        config = read_model_config(directory / CONFIG_FILE, diagnostics)
        versions = _versions(directory, config, diagnostics) if config else {}
        if config and versions:
            entries[config.name] = ModelEntry(config, versions)
    return Repository(frozenset(path.name for path in directories), entries)


def _versions(directory: Path, config: ModelConfig, diagnostics: Diagnostics) -> dict[int, Path]:
    """The versions that the policy chooses, with what each loads; empty when something is wrong."""
    present: list[int] = []
    for path in directory.iterdir():
        if path.is_dir() and _VERSION.fullmatch(path.name):
            present.append(int(path.name))
        elif path.is_dir() and _DIGITS.fullmatch(path.name):
            diagnostics.add(path, "", "is not a version", "a positive integer without leading zeros")
            return {}
    if not present:
        allowed = "a directory named 1, 2, ... for each version (an ensemble's is empty)"
        diagnostics.add(directory, "", "has no version", allowed)
        return {}
    chosen = _chosen(config.version_policy, sorted(present))
    missing = [version for version in chosen if version not in present]
    if missing:
        problem = f"there is no version {', '.join(map(str, missing))}"
        diagnostics.add(config.file, "version_policy.specific.versions", problem, map(str, sorted(present)))
        return {}
    files = {version: directory / str(version) for version in chosen}
    if config.is_ensemble:
        return files
    files = {version: path / config.model_filename for version, path in files.items()}
    absent = [path for path in files.values() if not path.is_file()]
    for path in absent:
        allowed = f"the model file, named by default_model_filename ({config.model_filename!r})"
        diagnostics.add(path, "", "the file is missing", allowed)
    return {} if absent else files


def _chosen(policy: VersionPolicy, present: list[int]) -> list[int]:
    match policy.kind:
        case "all":
            return present
        case "specific":
            return list(policy.versions)
        case "latest":
            return present[-policy.count :]
