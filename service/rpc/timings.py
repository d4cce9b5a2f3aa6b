"""Where the time of a request went: measured once, told in the reply, the trailer and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from maskweave.v1 import synthesis_pb2 as pb
from service.core.metrics import Metrics
from service.engine.base import StageTiming
from service.rpc.calls import SERVER_TIMING, Call
from service.synthesis.jobs import Job, Picture

DECODE = "decode"
ENCODE = "encode"


class Prepared(Protocol):
    """A request that was decoded."""

    @property
    def queue_seconds(self) -> float:
        """Time it waited for a free decoder."""

    @property
    def decode_seconds(self) -> float:
        """Time that decoding took."""


class Made(Protocol):
    """What the models made of it, once."""

    @property
    def index(self) -> int:
        """Which of the request's pictures it is for."""

    @property
    def wait_seconds(self) -> float:
        """Time it waited for its turn."""

    @property
    def stages(self) -> tuple[StageTiming, ...]:
        """Time of each stage."""

    @property
    def encode_seconds(self) -> float:
        """Time that encoding took."""


def timings_to_proto(job: Prepared, pictures: Sequence[Made], total_seconds: float) -> pb.Timings:
    """The reply's account of the time that these of the job's pictures took."""
    stages = []
    encode_seconds = 0.0
    for picture in pictures:
        encode_seconds += picture.encode_seconds
        stages += [
            pb.StageTiming(
                stage=stage.model,
                image_index=picture.index,
                queue=_duration(stage.queue_seconds),
                compute=_duration(stage.compute_seconds),
                cached=stage.cached,
            )
            for stage in picture.stages
        ]
    return pb.Timings(
        queue=_duration(job.queue_seconds),
        decode=_duration(job.decode_seconds),
        stages=stages,
        encode=_duration(encode_seconds),
        admission=_duration(sum(picture.wait_seconds for picture in pictures)),
        total=_duration(total_seconds),
    )


def tell_timings(call: Call, job: Prepared, pictures: Sequence[Made]) -> pb.Timings:
    """Tell the time of a request with one reply: in the call's trailer, and here for the reply itself."""
    total_seconds = call.elapsed_seconds
    call.trailer[SERVER_TIMING] = server_timing(job, pictures, total_seconds)
    return timings_to_proto(job, pictures, total_seconds)


def server_timing(job: Prepared, pictures: Sequence[Made], total_seconds: float) -> str:
    """The trailer's account, as in https://www.w3.org/TR/server-timing/, in milliseconds.

    Runs of one stage are summed; how many of them came from the cache stands in `desc`.
    """
    stages: dict[str, _Sum] = {}
    for picture in pictures:
        for stage in picture.stages:
            total = stages.setdefault(stage.model, _Sum())
            total.seconds += stage.queue_seconds + stage.compute_seconds
            total.runs += 1
            total.cached += stage.cached
    entries = [
        _entry("queue", job.queue_seconds),
        _entry(DECODE, job.decode_seconds),
        _entry("admission", sum(picture.wait_seconds for picture in pictures)),
    ]
    for name, total in stages.items():
        described = f';desc="cached {total.cached} of {total.runs}"' if total.cached else ""
        entries.append(_entry(name, total.seconds) + described)
    entries.append(_entry(ENCODE, sum(picture.encode_seconds for picture in pictures)))
    entries.append(_entry("total", total_seconds))
    return ", ".join(entries)


def record_decode(metrics: Metrics, job: Prepared) -> None:
    """Feed the metrics with the job's decoding."""
    metrics.stage(DECODE, job.decode_seconds, queue_seconds=job.queue_seconds)


def record_picture(metrics: Metrics, job: Job, picture: Picture) -> None:
    """Feed the metrics with one picture."""
    record_stages(metrics, job.model.name, picture)
    metrics.stage(ENCODE, picture.encode_seconds)
    metrics.image_made(job.model.name, job.support.kind.value, job.image_format.value)


def record_stages(metrics: Metrics, model: str, made: Made) -> None:
    """Feed the metrics with the stages that ran for a model, and the wait before."""
    metrics.waited(model, made.wait_seconds)
    for stage in made.stages:
        metrics.stage(
            stage.model, stage.compute_seconds, queue_seconds=stage.queue_seconds, cached=stage.cached
        )


@dataclass(slots=True)
class _Sum:
    seconds: float = 0.0
    runs: int = 0
    cached: int = 0


def _entry(name: str, seconds: float) -> str:
    return f"{name};dur={seconds * 1e3:.3f}"


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return Duration(seconds=whole, nanos=nanos)
