"""What a benchmark leaves behind: one JSON file with everything in it, raw histograms included."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

FORMAT: Literal["maskweave-bench/1"] = "maskweave-bench/1"

Encoded = Annotated[
    str, Field(description="An HdrHistogram of microseconds, in its compressed form, base64.")
]


class ResultsError(ValueError):
    """A file is not a benchmark's results."""


class _Model(BaseModel):
    # Fields that a later version adds are no reason to refuse its file.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Load(_Model):
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


class Block(_Model):
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


class Bin(_Model):
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


class StallMark(_Model):
    """`stalls.Stall`."""

    begin: FiniteFloat
    end: FiniteFloat
    waiting: int


class PartMean(_Model):
    """`stages.Part`."""

    name: str
    mean: FiniteFloat
    p50: FiniteFloat
    p99: FiniteFloat


class ClientUse(_Model):
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


class KindResult(_Model):
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


class Trial(_Model):
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


class TargetResult(_Model):
    """What was measured.

    Attributes:
        name: As the user calls it.
        addresses: Where it is.
        tls: Whether connections were encrypted.
        model: The model asked for.
        model_version: Its version, as the service told it.
        about: What its metrics page tells of it, for example its version.
    """

    name: str
    addresses: list[str]
    tls: bool
    model: str
    model_version: str
    about: dict[str, str] = Field(default_factory=dict)


class KneeResult(_Model):
    """What a knee search found.

    Attributes:
        target: Name of the target.
        percent: The percentile that had to be kept.
        seconds: What it was allowed to be.
        errors: The share of requests that was allowed to fail.
        rate: The highest rate that kept it; 0 when none did.
        low: Low end of the confidence interval.
        high: High end; None when no rate failed.
        end: Why the search ended.
    """

    target: str
    percent: FiniteFloat
    seconds: FiniteFloat
    errors: FiniteFloat
    rate: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat | None
    end: str


class Results(_Model):
    """A benchmark.

    Attributes:
        format: `FORMAT`.
        version: Of the package that wrote it.
        created: UTC, ISO 8601.
        command: The command line, without keys.
        scenario: What was asked, as it was read.
        environment: The client's machine and software.
        targets: What was measured.
        trials: In the order in which they ran.
        knees: Of knee searches.
        notes: What a reader should know.
    """

    format: Literal["maskweave-bench/1"] = FORMAT
    version: str
    created: str
    command: list[str]
    scenario: dict[str, Any]
    environment: dict[str, Any]
    targets: list[TargetResult]
    trials: list[Trial]
    knees: list[KneeResult] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the file; missing folders are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1) + "\n")


def read_results(path: Path) -> Results:
    """Read a file that `Results.write` wrote.

    Raises:
        ResultsError: It cannot be read or is something else.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ResultsError(f"{path}: not results of maskweave bench: {place}: {first['msg']}") from error
