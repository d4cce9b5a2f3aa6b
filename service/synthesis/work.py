"""What the runner runs: work, which is a validated request as things to do, and the time that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from service.engine.base import Priority, StageTiming, Task

R_co = TypeVar("R_co", covariant=True)


class Work(Protocol[R_co]):
    """A validated request as work: something to do once, and a result for each image."""

    @property
    def model(self) -> str:
        """The model, by the name that callers use."""

    @property
    def model_version(self) -> str:
        """Its version."""

    @property
    def served_by(self) -> str:
        """The model of the repository whose durations tell how long an image takes."""

    @property
    def priority(self) -> Priority:
        """Whether somebody waits."""

    @property
    def images(self) -> int:
        """How many results there are."""

    @property
    def images_field(self) -> str:
        """The field of the request that says how many."""

    @property
    def labels(self) -> tuple[str, str] | None:
        """What its images are counted as: kind of condition and file format; None if it makes none."""

    def prepare(self, timings: Timings) -> Task[None]:
        """Do what all images need: decoding, checking.

        Runs before the first image, on its worker, and again if that has to be made again.
        """

    def produce(self, index: int, timings: Timings) -> Task[R_co]:
        """Make one image, of which `timings` are then told."""


@dataclass(slots=True)
class Timings:
    """The time of one image, in seconds.

    Attributes:
        queue_wait: It waited for its turn.
        worker_wait: It waited for a free worker after that.
        decode: Decoding, checking and resizing what the caller sent took, once for all images of a request.
        stages: Time of each stage, in the order of execution.
        encode: Encoding took.
    """

    queue_wait: float = 0.0
    worker_wait: float = 0.0
    decode: float = 0.0
    stages: list[StageTiming] = field(default_factory=list)
    encode: float = 0.0


@dataclass(slots=True)
class StageSum:
    """The runs of one stage for all images of a call."""

    seconds: float = 0.0
    runs: int = 0
    cached: int = 0


@dataclass(slots=True)
class CallTimings:
    """The time of all images of a call, in seconds; bounded, however many there are.

    Attributes:
        model: The model that makes them.
        model_version: Its version.
        images: How many there were.
        queue_wait: Waits for turns.
        worker_wait: Of the first image, which was decoded first.
        decode: Decoding, which is done once.
        encode: Encoding.
        stages: By the name of the stage.
    """

    model: str = ""
    model_version: str = ""
    images: int = 0
    queue_wait: float = 0.0
    worker_wait: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    stages: dict[str, StageSum] = field(default_factory=dict)

    def add(self, timings: Timings, *, first: bool) -> None:
        """Add an image that is done, in whatever order; `first` is the one that all was decoded with."""
        if first:
            self.decode, self.worker_wait = timings.decode, timings.worker_wait
        self.images += 1
        self.queue_wait += timings.queue_wait
        self.encode += timings.encode
        for stage in timings.stages:
            total = self.stages.setdefault(stage.model, StageSum())
            total.seconds += stage.queue_seconds + stage.compute_seconds
            total.runs += 1
            total.cached += stage.cached
