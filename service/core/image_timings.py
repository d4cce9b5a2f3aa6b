"""What is told of an image: where its time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StageRun(Protocol):
    """One run of one stage."""

    @property
    def model(self) -> str:
        """The stage."""

    @property
    def queue_seconds(self) -> float:
        """Time its inputs waited."""

    @property
    def compute_seconds(self) -> float:
        """Time it ran."""

    @property
    def cached(self) -> bool:
        """Whether its answer was there already."""

    @property
    def began(self) -> float:
        """`time.perf_counter()` when its inputs were there; 0 when that is not known."""


class ImageTimings(Protocol):
    """Where the time of an image went, in seconds."""

    @property
    def queue_wait(self) -> float:
        """It waited for its turn."""

    @property
    def worker_wait(self) -> float:
        """It waited for a worker after that."""

    @property
    def decode(self) -> float:
        """Decoding took."""

    @property
    def stages(self) -> Sequence[StageRun]:
        """The stages."""

    @property
    def encode(self) -> float:
        """Encoding took."""
