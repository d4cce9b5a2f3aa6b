"""What one request cost, as its client saw it and as the service accounted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.stats import Summary, summarize


@dataclass(frozen=True, slots=True)
class StageSample:
    """The runs of one stage together. Durations in seconds."""

    queue: float
    compute: float
    cached: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """One request for one picture. Durations in seconds.

    Attributes:
        observed: From before the client's call to after it.
        total: From the request's arrival at the service to its reply.
        queue: Waiting for a free decoder.
        decode: Decoding the condition.
        encode: Encoding the picture.
        stages: The models' stages by name, in the order of execution.
    """

    observed: float
    total: float
    queue: float
    decode: float
    encode: float
    stages: Mapping[str, StageSample]

    @property
    def own(self) -> float:
        """The gateway's own time: the total less the computing and queueing of the stages.

        It holds decoding, encoding, waiting for a decoder, and every hand-over between them. Meaningful where
        the stages of a picture run one after the other, as those of faces64 do.
        """
        return self.total - sum(stage.queue + stage.compute for stage in self.stages.values())


def breakdown(samples: Sequence[Sample]) -> dict[str, Summary]:
    """Summaries of the parts of a request, as `parts`, and of the gateway's `own` time.

    Raises:
        ValueError: When there are no samples, or stages of one ran side by side.
    """
    return {**parts(samples), "own": summarize(sample.own for sample in samples)}


def parts(samples: Sequence[Sample]) -> dict[str, Summary]:
    """Summaries of the parts of a request, in the order in which a request passes them.

    Rows are `observed`, `total`, `queue`, `decode`, one for each stage (its computing), `stages queue` (the
    waiting of all stages of a request together) and `encode`.

    Raises:
        ValueError: When there are no samples.
    """
    if not samples:
        raise ValueError("there are no samples to break down")

    def row(part: Callable[[Sample], float]) -> Summary:
        return summarize(part(sample) for sample in samples)

    return {
        "observed": row(lambda sample: sample.observed),
        "total": row(lambda sample: sample.total),
        "queue": row(lambda sample: sample.queue),
        "decode": row(lambda sample: sample.decode),
        **stages(samples),
        "stages queue": row(lambda sample: sum(stage.queue for stage in sample.stages.values())),
        "encode": row(lambda sample: sample.encode),
    }


def stages(samples: Sequence[Sample]) -> dict[str, Summary]:
    """Computing of each stage, in the order in which they first ran."""
    return {
        name: summarize(sample.stages[name].compute for sample in samples if name in sample.stages)
        for name in _in_order_of_appearance(samples)
    }


def _in_order_of_appearance(samples: Iterable[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.stages))
