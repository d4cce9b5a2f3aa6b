"""What is told of a gateway: its models, what goes on in it, and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model that callers can name; `other_versions` are served beside `version`, the newest first."""

    name: str
    version: str
    method: str
    width: int
    height: int
    conditions: tuple[str, ...]
    other_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls of one method in a time. Quantiles are of those that were answered, in seconds.

    Attributes:
        calls: Ended ones.
        per_second: Their rate.
        failed: Part of them that did not end with OK, 0 to 1.
        p50: Half of the answers took less.
        p99: So did 99 of 100.
    """

    calls: int
    per_second: float
    failed: float
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Runs of one stage in a time; quantiles in seconds."""

    runs: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Period:
    """What was counted in a time.

    Attributes:
        seconds: How long it was.
        traffic: By method.
        stages: By stage.
        images_per_second: Images made.
        received_bytes_per_second: Bytes of messages that came.
        sent_bytes_per_second: Bytes of messages that went out.
        queue_wait_p99: Seconds that 99 of 100 images waited for their turn at most.
        worker_utilisation: Part of the workers' time in which they worked, 0 to 1.
        loop_lag_p99: Seconds by which the event loop was late at most, 99 times of 100.
        cache_lookups: Stages looked up in the response cache.
        cache_hits: Those found.
        shed: Refused calls by what was full.
        cancelled: Calls given up by why.
        failures: Failed calls by the reason told.
    """

    seconds: float
    traffic: Mapping[str, Traffic]
    stages: Mapping[str, StageStatus]
    images_per_second: float
    received_bytes_per_second: float
    sent_bytes_per_second: float
    queue_wait_p99: float | None
    worker_utilisation: float | None
    loop_lag_p99: float | None
    cache_lookups: int
    cache_hits: int
    shed: Mapping[str, int]
    cancelled: Mapping[str, int]
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Load:
    """What goes on at the moment."""

    queue_images: int
    queue_seconds: float
    images_in_progress: int
    calls: Mapping[str, int]
    streams: int
    sessions: int
    workers: int
    workers_busy: int
    worker_tasks_waiting: int
    event_loop_tasks: int
    memory_bytes: int
    cache_entries: int
    cache_bytes: int
    cache_capacity_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """A gateway.

    Attributes:
        address: Its gRPC address.
        metrics_url: Where its page of metrics is.
        health: `SERVING`, `NOT_SERVING` and the like; `UNREACHABLE` when nobody answers.
        problems: What could not be found out, and why.
        version: Of the service; empty when unknown, as all below.
        uptime_seconds: Since the start of its process.
        engine_ready: Whether its engine can answer.
        runtime: What runs the models: name and version of engine and runtime.
        candidate_seconds: How long the models took at the start with what was measured to choose.
        model_load_seconds: How long each model of the repository took to load.
        models: What callers can name; None when unknown.
        load: What goes on.
        recent: What was counted in the last moments.
        total: What was counted since the start.
    """

    address: str
    metrics_url: str
    health: str
    problems: tuple[str, ...] = ()
    version: str = ""
    uptime_seconds: float | None = None
    engine_ready: bool | None = None
    runtime: Mapping[str, str] = field(default_factory=dict)
    candidate_seconds: Mapping[str, float] = field(default_factory=dict)
    model_load_seconds: Mapping[str, float] = field(default_factory=dict)
    models: tuple[ModelStatus, ...] | None = None
    load: Load | None = None
    recent: Period | None = None
    total: Period | None = None

    @property
    def serving(self) -> bool:
        """Whether its health check says so."""
        return self.health == "SERVING"
