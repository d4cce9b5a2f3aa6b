"""The batches of a section of a configuration: shared out among parts, made larger, listed."""

from __future__ import annotations

from typing import Any


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
