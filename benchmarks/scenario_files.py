"""The scenarios behind the figures of `docs/performance.md`: what `maskweave-bench` asks."""

from __future__ import annotations

from typing import Any

_MANY: dict[str, Any] = {"variants": 256}
"""Conditions: so many that by the time one comes again, nothing of it is in the gateway's cache."""

KINDS: dict[str, dict[str, Any]] = {
    "label map": _MANY,
    "label map, repeated seed": {"seeds": "repeated", "distinct_seeds": 1} | _MANY,
    "sketch": {"condition": "sketch"} | _MANY,
    "scribble": {"condition": "scribble"} | _MANY,
    "proxy mask": {"condition": "proxy_mask"} | _MANY,
    "exemplar": {"condition": "exemplar"} | _MANY,
    "edit of a seed": {"rpc": "edit", "source": "seed"} | _MANY,
    "edit of an image": {"rpc": "edit", "source": "image"} | _MANY,
    "stroke in Paint": {"rpc": "paint", "session_seconds": 4, "updates_per_second": 20},
}
"""By name, one request of every kind."""

NEW_SEED, REPEATED_SEED = "label map", "label map, repeated seed"


def scenario(name: str, model: str, **ask: Any) -> dict[str, Any]:
    """A scenario of one request."""
    return {"name": name, "model": model, "requests": [{"name": name, "rpc": "synthesize", **ask}]}
