"""The batches of a section of a configuration: split among shards, made larger, listed."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from training.config.sections import Section, validation_reasons

Config = TypeVar("Config", bound=Section)
MAX_PARTS = 1024
"""That are tried, to tell how many there can be."""


def divided(values: dict[str, Any], section: str, shards: int) -> dict[str, Any]:
    """A section's values for one of `shards` equal parts of every batch in it.

    Raises:
        ValueError: if a batch cannot be divided so.
    """
    result = dict(values)
    for key, value in values.items():
        if isinstance(value, dict):
            result[key] = divided(value, f"{section}.{key}", shards)
        elif key == "batch":
            if value % shards:
                raise ValueError(f"{section}.batch: {value} cannot be divided into {shards} equal parts")
            result[key] = value // shards
        elif key == "kept_samples":
            result[key] = max(1, round(value / shards))
    return result


def raised(values: dict[str, Any], shards: int, least: int) -> dict[str, Any]:
    """A section whose batches are the next that give every part the same, and `least` or more."""
    result = {
        key: raised(one, shards, least) if isinstance(one, dict) else one for key, one in values.items()
    }
    if "batch" in values:
        result["batch"] = max(-(-values["batch"] // shards), least) * shards
    return result


def batches(values: dict[str, Any], section: str) -> dict[str, int]:
    """Every batch of a section by its full name."""
    found: dict[str, int] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= batches(value, f"{section}.{key}")
        elif key == "batch":
            found[f"{section}.batch"] = value
    return found


def split_batches(config: Config, section: str, shards: int) -> Config:
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
        reason = f"one of {shards} parts of a batch: {validation_reasons(error)}"
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

    most = min(shards - 1, MAX_PARTS, *batches(whole[section], section).values())
    allowed = [str(parts) for parts in range(1, most + 1) if works(whole[section], parts)]
    told = f"it can be {' or '.join(allowed)}"
    for least in (1, 2, 3):  # samples of a part
        larger = raised(whole[section], shards, least)
        if works(larger, shards):
            sizes = (f"{name} = {size}" for name, size in batches(larger, section).items())
            return f"{told}, or {shards} with {', '.join(sizes)}"
    return told
