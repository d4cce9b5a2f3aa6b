"""How a run is carried out: where, on what, how often it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.runs.distributed import DistributedContext, single_process
from training.runs.updates import Precision


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is carried out; what it trains is the pack's configuration.

    Attributes:
        folder: where metrics, sheets and the checkpoint go.
        device: "cpu" or "cuda", or the one of this rank.
        seed: of initialisation and of every step.
        resume: go on from the folder's checkpoint if there is one.
        log_every: steps between lines of metrics (means over those steps).
        checkpoint_every: steps between checkpoints.
        sheet_every: steps between contact sheets.
        show_progress: draw a progress bar.
        accumulate: micro-batches that each rank divides its part of a batch into.
        precision: what networks run in, see `mixed_precision`.
        distributed: the processes that carry the run out together.
    """

    folder: Path
    device: str = "cpu"
    seed: int = 0
    resume: bool = True
    log_every: int = 50
    checkpoint_every: int = 250
    sheet_every: int = 500
    show_progress: bool = True
    accumulate: int = 1
    precision: Precision = "auto"
    distributed: DistributedContext = field(default_factory=single_process)

    @property
    def shards(self) -> int:
        """Parts that a step's batch is divided into."""
        return self.distributed.world_size * self.accumulate
