"""Checkpoints of a run: written whole or not at all, read by one rank for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch

from training.runs.distributed import DistributedContext


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Its state: tensors and plain values only."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take up such a state."""


def load_checkpoint(
    path: Path, name: str, parts: dict[str, Stateful], distributed: DistributedContext
) -> int:
    """Go on from a checkpoint; the main rank reads it for all, so that no rank begins at another step.

    Args:
        path: the checkpoint's file, which need not be there.
        name: of the trainer that must have made it.
        parts: by name; they take up the states that it holds.
        distributed: the ranks.

    Returns:
        Steps done; 0 if there is no checkpoint.

    Raises:
        ValueError: if it is another trainer's, or of another shape.
    """
    known = distributed.is_main and path.exists()
    saved = distributed.broadcast(torch.load(path, map_location="cpu", weights_only=True) if known else None)
    if saved is None:
        return 0
    if saved["name"] != name:
        raise ValueError(f"{path}: made by {saved['name']!r}, not by {name!r}")
    for key, part in parts.items():
        try:
            part.load_state_dict(saved["state"][key])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ValueError(
                f"{path}: {key} does not fit the configuration; start anew with --fresh ({reason})"
            ) from None
    return int(saved["step"])


def save_checkpoint(path: Path, name: str, parts: dict[str, Stateful], step: int) -> None:
    """Write whole or not at all: a run killed while saving keeps its last checkpoint."""
    partial = path.with_suffix(".partial")
    state = {key: part.state_dict() for key, part in parts.items()}
    torch.save({"name": name, "step": step, "state": state}, partial)
    partial.replace(path)


def steps_done(run: Path) -> int:
    """Of the checkpoint in a run's folder; 0 if there is none."""
    checkpoint = run / "checkpoint.pt"
    if not checkpoint.exists():
        return 0
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["step"])
