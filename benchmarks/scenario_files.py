"""The scenarios behind the figures of `docs/performance.md`: what `maskweave-bench` asks."""

from __future__ import annotations

from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "label map": {},
    "label map, repeated seed": {"seeds": "repeated", "distinct_seeds": 1},
    "sketch": {"condition": "sketch"},
    "scribble": {"condition": "scribble"},
    "proxy mask": {"condition": "proxy_mask"},
    "exemplar": {"condition": "exemplar"},
    "edit of a seed": {"rpc": "edit", "source": "seed"},
    "edit of an image": {"rpc": "edit", "source": "image"},
    "stroke in Paint": {"rpc": "paint", "session_seconds": 4, "updates_per_second": 20},
}
"""By name, one request of every kind."""

NEW_SEED, REPEATED_SEED = "label map", "label map, repeated seed"


def scenario(name: str, model: str, **ask: Any) -> dict[str, Any]:
    """A scenario of one request."""
    return {"name": name, "model": model, "requests": [{"name": name, "rpc": "synthesize", **ask}]}
