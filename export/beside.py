"""Puts the models of one repository beside those of another, under names that have their version.

So one server holds two versions of a pack, whose models would have the same names. Triton's own versions
cannot do that: all of a model share one configuration, and with it the palette and the steps of an ensemble.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as triton

from export.config_file import CONFIG, read_config_file, rendered

_OFFERS = ("maskweave.pack", "maskweave.edits", "maskweave.reads_labels")
_VERSION = "maskweave.model_version"
_NAMES_A_MODEL = ("maskweave.style_encoder", "maskweave.style_prior")


def put_beside(source: Path, repository: Path) -> Mapping[str, str]:
    """Copy all models of a repository into another.

    Args:
        source: the repository whose models are copied.
        repository: the one that gets them; nothing that is there is changed.

    Returns:
        The new name of each model, by the old one.

    Raises:
        FileNotFoundError: if `source` has no model.
        ValueError: if a configuration cannot be read, a pack does not say its version, a model belongs to no
            pack, or a new name is taken.
    """
    configs = {file.parent.name: read_config_file(file) for file in sorted(source.glob(f"*/{CONFIG}"))}
    if not configs:
        raise FileNotFoundError(f"{source}: has no */{CONFIG}; allowed: a model repository")
    names = _new_names(configs, source)
    repository.mkdir(parents=True, exist_ok=True)
    if taken := sorted(new for new in names.values() if (repository / new).exists()):
        raise ValueError(f"{repository}: has {', '.join(taken)} already; allowed: names that are free")
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=f".{repository.name}-") as scratch:
        for name, config in configs.items():
            folder = Path(scratch) / names[name]
            shutil.copytree(source / name, folder)
            (folder / CONFIG).write_text(rendered(_renamed(config, name, names)), encoding="utf-8")
        for new in names.values():
            (Path(scratch) / new).replace(repository / new)
    return names


def _new_names(configs: Mapping[str, triton.ModelConfig], source: Path) -> dict[str, str]:
    versions: dict[str, str] = {}
    for name, config in configs.items():
        if any(key in config.parameters for key in _OFFERS):
            version = config.parameters[_VERSION].string_value if _VERSION in config.parameters else ""
            if not version:
                raise ValueError(f'{source / name / CONFIG}: parameters["{_VERSION}"]: missing')
            for part in (name, *_parts(config)):
                versions.setdefault(part, version)
    if strangers := sorted(configs.keys() - versions.keys()):
        raise ValueError(f"{source}: {', '.join(strangers)}: of no pack; allowed: models of packs alone")
    return {name: f"{name}_v{re.sub('[^0-9A-Za-z]', '_', versions[name])}" for name in configs}


def _parts(config: triton.ModelConfig) -> list[str]:
    """The models that one is made of or names."""
    beside = [config.parameters[key].string_value for key in _NAMES_A_MODEL if key in config.parameters]
    return [step.model_name for step in config.ensemble_scheduling.step] + beside


def _renamed(config: triton.ModelConfig, name: str, names: Mapping[str, str]) -> triton.ModelConfig:
    new = triton.ModelConfig()
    new.CopyFrom(config)
    new.name = names[name]
    for step in new.ensemble_scheduling.step:
        step.model_name = names.get(step.model_name, step.model_name)
    for key in _NAMES_A_MODEL:
        if key in new.parameters:
            value = new.parameters[key].string_value
            new.parameters[key].string_value = names.get(value, value)
    return new
