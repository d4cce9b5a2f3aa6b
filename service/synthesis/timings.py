"""Where the time of a request went: taken once, on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.engine.base import StageTiming


@dataclass(slots=True)
class Timings:
    """The time of one image, in seconds.

    Attributes:
        queue: It waited for its turn.
        worker: It waited for a free worker after that.
        decode: Decoding, checking and resizing what the caller sent took, once for all images of a request.
        stages: Time of each stage, in the order of execution.
        encode: Encoding took.
    """

    queue: float = 0.0
    worker: float = 0.0
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
        images: How many there were.
        total: Of every image's `Timings`, with the decoding and its wait counted once.
        stages: By the name of the stage.
    """

    images: int = 0
    queue: float = 0.0
    worker: float = 0.0
    decode: float = 0.0
    encode: float = 0.0
    stages: dict[str, StageSum] = field(default_factory=dict)

    def add(self, timings: Timings) -> None:
        """Add an image."""
        if not self.images:
            self.decode, self.worker = timings.decode, timings.worker
        self.images += 1
        self.queue += timings.queue
        self.encode += timings.encode
        for stage in timings.stages:
            total = self.stages.setdefault(stage.model, StageSum())
            total.seconds += stage.queue_seconds + stage.compute_seconds
            total.runs += 1
            total.cached += stage.cached
