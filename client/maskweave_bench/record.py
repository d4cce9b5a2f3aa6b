"""What is kept of a trial: its load, its figures and its raw histograms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Encoded = Annotated[
    str, Field(description="An HdrHistogram of microseconds, in its compressed form, base64.")
]


class Record(BaseModel):
    """A part of the file of results."""

    # Fields that a later version adds are no reason to refuse its file.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Load(Record):
    """A load, so that it can be made again.

    Attributes:
        kind: How the times were chosen; `closed` for a closed loop.
        rate: Requests a second; of a ramp and a trace, on average; None for a closed loop.
        first_rate: Of a ramp, at its begin.
        last_rate: Of a ramp, at its end.
        clients: Of a closed loop.
        trace: Of a trace, the file's name.
        seconds: How long requests are sent.
    """

    kind: Literal["constant", "poisson", "ramp", "trace", "closed"]
    rate: FiniteFloat | None = None
    first_rate: FiniteFloat | None = None
    last_rate: FiniteFloat | None = None
    clients: int | None = None
    trace: str | None = None
    seconds: FiniteFloat

    @property
    def name(self) -> str:
        """For people, for example `poisson, 40/s`."""
        if self.kind == "closed":
            return f"closed loop, {self.clients} client{'s' if self.clients != 1 else ''}"
        if self.kind == "ramp":
            return f"ramp, {self.first_rate:g} to {self.last_rate:g}/s"
        if self.kind == "trace":
            return f"trace {self.trace}, {self.rate:.4g}/s"
        return f"{self.kind}, {self.rate:.4g}/s"

    @property
    def is_open(self) -> bool:
        """Whether it is an open loop."""
        return self.kind != "closed"


class Block(Record):
    """A stretch of a trial's measured time.

    Attributes:
        seconds: How long it is.
        requests: How many requests were due in it.
        failed: How many of them failed.
        latency: Of the others.
    """

    seconds: FiniteFloat
    requests: int
    failed: int
    latency: Encoded


class Bin(Record):
    """A moment of a trial, by the time at which requests were due.

    Attributes:
        begin: Seconds from the begin of the load.
        requests: How many requests were due.
        failed: How many of them failed.
        p50: Of the latencies, in seconds; None without any.
        p99: The same.
        max: The same.
    """

    begin: FiniteFloat
    requests: int
    failed: int
    p50: FiniteFloat | None = None
    p99: FiniteFloat | None = None
    max: FiniteFloat | None = None


class StallMark(Record):
    """`stalls.Stall`."""

    begin: FiniteFloat
    end: FiniteFloat
    waiting: int


class PartMean(Record):
    """`stages.Part`."""

    name: str
    mean: FiniteFloat
    p50: FiniteFloat
    p99: FiniteFloat


class ClientUse(Record):
    """What the trial cost the client processes.

    Attributes:
        processes: How many there were.
        cpu: Share of one core that each used, on average, threads of gRPC included.
        loop_busy: Share of one core that the busiest process's event loop used.
        lag_p99: Seconds by which requests were sent late.
        lag_max: The same.
        skipped_late: Requests that could not be sent within the bound.
    """

    processes: int
    cpu: FiniteFloat
    loop_busy: FiniteFloat
    lag_p99: FiniteFloat | None = None
    lag_max: FiniteFloat | None = None
    skipped_late: int = 0


class KindResult(Record):
    """One request of the scenario's mix.

    Attributes:
        name: Of the request.
        requests: How many there were, in the measured time.
        failed: How many failed.
        latency: Of the others.
    """

    name: str
    requests: int
    failed: int
    latency: Encoded


class Trial(Record):
    """One load on one target, once.

    Attributes:
        target: Name of the target.
        load: The load.
        repeat: Which repeat it is, from 0. Trials of one repeat ran one after another.
        started: Unix time of its begin.
        measured_from: Seconds from its begin at which warming up was over.
        measured_seconds: How long was measured.
        state: `steady.State`.
        drift: `steady.Steady.drift`.
        requests: Requests due in the measured time.
        codes: How many there were, by code.
        per_second: Requests answered in a second.
        images_per_second: Images that came in a second.
        bytes_per_second: Bytes of replies in a second.
        latency: From when requests were to be sent: what callers wait.
        service_time: From when they were sent: what tools that forget the waiting show.
        lag: How late they were sent.
        kinds: By request of the mix.
        blocks: The measured time in equal parts.
        timeline: The whole trial.
        stalls: The whole trial's.
        parts: Where the time went.
        overlap: `stages.Breakdown.overlap`.
        client: What it cost the client.
        limits: Why the client was the limit; empty when it was not. A trial with any does not count.
        metrics: What the service's metrics pages say of the time, by name.
    """

    target: str
    load: Load
    repeat: int
    started: FiniteFloat
    measured_from: FiniteFloat
    measured_seconds: FiniteFloat
    state: str
    drift: FiniteFloat
    requests: int
    codes: dict[str, int]
    per_second: FiniteFloat
    images_per_second: FiniteFloat
    bytes_per_second: FiniteFloat
    latency: Encoded
    service_time: Encoded
    lag: Encoded
    kinds: list[KindResult]
    blocks: list[Block]
    timeline: list[Bin]
    stalls: list[StallMark]
    parts: list[PartMean]
    overlap: FiniteFloat
    client: ClientUse
    limits: list[str]
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)

    @property
    def counts(self) -> bool:
        """Whether the trial says something of the service."""
        return not self.limits

    @property
    def failed(self) -> int:
        """Requests of the measured time that failed."""
        return sum(block.failed for block in self.blocks)
