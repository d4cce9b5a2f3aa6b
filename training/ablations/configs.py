"""A variant's configuration: the pack's, changed, and with a smaller budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from training.config.sections import Section, validation_reasons

Config = TypeVar("Config", bound=Section)
PARTS = 4
"""Batches stay multiples of this, so that halves and quarters of them are whole."""
_NOT_ABLATED = ("sketch", "scribble", "inversion", "few_shot", "students")
"""Sections whose sizes hang on others and that no table trains."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much shorter than the pack's own a training is.

    Attributes:
        steps: share of the steps of every run.
        batch: share of every batch.
        samples: training samples that a pack of GroupDNet sees; None: all.
    """

    steps: float = 1.0
    batch: float = 1.0
    samples: int | None = None


def variant_config(config: Config, changes: Mapping[str, Any], budget: Budget) -> Config:
    """The configuration of a variant, checked.

    Args:
        config: the pack's.
        changes: values by dotted keys.
        budget: of the training.

    Raises:
        ValueError: if a key is unknown, or the values do not go together.
    """
    values = config.model_dump()
    values |= {name: None for name in _NOT_ABLATED if name in values}
    values = _reduced(values, budget)
    if budget.samples is not None and isinstance(values.get("data"), dict) and "pack" in values["data"]:
        values["data"]["samples"] = budget.samples
    for key, value in changes.items():
        _set(values, key, value)
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{', '.join(changes)}: {validation_reasons(error)}") from None


def _reduced(values: dict[str, Any], budget: Budget) -> dict[str, Any]:
    result = dict(values)
    for key, value in values.items():
        if isinstance(value, dict):
            result[key] = _reduced(value, budget)
        elif key == "steps":
            result[key] = max(1, round(value * budget.steps))
        elif key == "batch":
            result[key] = max(PARTS, PARTS * round(value * budget.batch / PARTS))
    return result


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = values
    try:
        for part in path:
            if isinstance(place, list):
                place = place[int(part)]
                continue
            if isinstance(place[part], tuple):
                place[part] = list(place[part])
            place = place[part]
        place[last]  # only what is there can be changed
    except (IndexError, KeyError, TypeError):
        raise ValueError(f"{key}: the configuration has no such value") from None
    place[last] = value
