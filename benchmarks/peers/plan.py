"""What a peer has to know of an ensemble, as JSON: peers read no configs and import none of this project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.bare_model import model_file, read_config, steps_in_order

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
    config = read_config(repository, ensemble)
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
                "file": str(model_file(repository, step.model_name).resolve()),
                "inputs": dict(step.input_map),
                "outputs": dict(step.output_map),
            }
            for step in steps_in_order(config)
        ],
        "label_map": inputs[LABEL_MAP],
        "latent": inputs[LATENT],
        "latent_scale": float(parameters.get("maskweave.latent_scale", "1")),
        "style_strength": strength if STYLE_STRENGTH in inputs else None,
    }
