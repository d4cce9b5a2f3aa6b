"""What a peer has to know of an ensemble, as JSON: peers read no configs and import none of this project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

LABEL_MAP, LATENT, STYLE_STRENGTH, IMAGE = "LABEL_MAP", "LATENT", "STYLE_STRENGTH", "IMAGE"


def plan_of(repository: Path, ensemble: str) -> Mapping[str, Any]:
    """The graphs of an ensemble in the order in which they run, and its inputs.

    Args:
        repository: A Triton model repository.
        ensemble: Name of an ensemble in it that takes a label map and a latent.

    Raises:
        FileNotFoundError: A model of it is missing.
        ValueError: Its steps cannot be put into an order, or it takes other inputs.
    """
    config = _read_config(repository, ensemble)
    inputs = {each.name: list(each.dims) for each in config.input}
    if not {LABEL_MAP, LATENT} <= inputs.keys() <= {LABEL_MAP, LATENT, STYLE_STRENGTH}:
        raise ValueError(f"{ensemble} takes {', '.join(inputs)}; a peer gives a label map and a latent")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    strength = json.loads(parameters.get("maskweave.style_strength", '{"default": 0.0}'))["default"]
    return {
        "ensemble": ensemble,
        "steps": [
            {
                "model": step.model_name,
                "file": str(_model_file(repository, step.model_name).resolve()),
                "inputs": dict(step.input_map),
                "outputs": dict(step.output_map),
            }
            for step in _in_order(config)
        ],
        "label_map": inputs[LABEL_MAP],
        "latent": inputs[LATENT],
        "latent_scale": float(parameters.get("maskweave.latent_scale", "1")),
        "style_strength": strength if STYLE_STRENGTH in inputs else None,
    }


def _read_config(repository: Path, model: str) -> Any:
    text = (repository / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _model_file(repository: Path, model: str) -> Path:
    """The ONNX file of the newest version of a model."""
    folder = repository / model
    newest = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    return folder / str(newest) / (_read_config(repository, model).default_model_filename or "model.onnx")


def _in_order(ensemble: Any) -> list[Any]:
    """The steps, each after those whose outputs it reads."""
    known = {each.name for each in ensemble.input}
    waiting = list(ensemble.ensemble_scheduling.step)
    ordered = []
    while waiting:
        ready = [step for step in waiting if known.issuperset(step.input_map.values())]
        if not ready:
            raise ValueError(f"{ensemble.name}: no step can run next of {[s.model_name for s in waiting]}")
        for step in ready:
            known.update(step.output_map.values())
            waiting.remove(step)
        ordered += ready
    return ordered
