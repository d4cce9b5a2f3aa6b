"""Feeds the metrics of `metric_table.py`: the object that everything which is measured is told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from service.core.metric_table import BUCKETS_SECONDS, METRICS, MetricSpec


@dataclass(frozen=True, slots=True)
class Rpc:
    """Identity of an RPC in the metrics.

    Attributes:
        service: Fully qualified service, for example `maskweave.v1.SynthesisService`.
        method: Method without the service, for example `Synthesize`.
        type: `unary`, `client_stream`, `server_stream` or `bidi_stream`.
    """

    service: str
    method: str
    type: Literal["unary", "client_stream", "server_stream", "bidi_stream"] = "unary"


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


class Metrics:
    """Feeds the metrics of one process. Methods are cheap and may be called from any thread."""

    def __init__(self) -> None:
        # Its second series per series is read by no dashboard.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._rpc_started = self._counter("grpc_server_started_total")
        self._rpc_handled = self._counter("grpc_server_handled_total")
        self._rpc_seconds = self._histogram("grpc_server_handling_seconds")
        self._in_flight = self._gauge("maskweave_requests_in_flight")
        self._failures = self._counter("maskweave_failures_total")
        self._queue_wait = self._histogram("maskweave_queue_wait_seconds")
        self._queue_depth = self._gauge("maskweave_queue_depth")
        self._in_progress = self._gauge("maskweave_images_in_progress")
        self._work_waiting = self._gauge("maskweave_work_waiting_seconds")
        self._open_sessions = self._gauge("maskweave_open_sessions")
        self._images = self._counter("maskweave_images_total")
        self._dropped_frames = self._counter("maskweave_paint_dropped_frames_total")
        self._stage_seconds = self._histogram("maskweave_stage_duration_seconds")
        self._stage_queue_seconds = self._histogram("maskweave_stage_queue_duration_seconds")
        self._cache_hits = self._counter("maskweave_response_cache_hits_total")
        self._event_loop_tasks = self._gauge("maskweave_event_loop_tasks")
        self._engine_ready = self._gauge("maskweave_engine_ready")
        self._model_info = self._gauge("maskweave_model_info")
        self._reloads = self._counter("maskweave_reloads_total")
        self._certificate_expiry = self._gauge("maskweave_certificate_expiry_seconds")
        self._build_info = self._gauge("maskweave_build_info")

    def rpc_started(self, rpc: Rpc) -> None:
        """Count an RPC that arrived; every one is followed by `rpc_handled`."""
        self._rpc_started.labels(rpc.type, rpc.service, rpc.method).inc()
        self._in_flight.labels(rpc.method).inc()

    def rpc_handled(self, rpc: Rpc, code: str, seconds: float) -> None:
        """Count an RPC that ended with `code`, spelled as go-grpc-prometheus does, after `seconds`."""
        labels = (rpc.type, rpc.service, rpc.method, code)
        self._rpc_handled.labels(*labels).inc()
        self._rpc_seconds.labels(*labels).observe(seconds)
        self._in_flight.labels(rpc.method).dec()

    def failed(self, reason: str) -> None:
        """Count a failure by the stable reason of its error class."""
        self._failures.labels(reason).inc()

    def watch_queue(
        self, depth: Callable[[], int], in_progress: Callable[[], int], work_seconds: Callable[[], float]
    ) -> None:
        """Publish what the queue counts, as it is when it is looked at."""
        self._queue_depth.set_function(depth)
        self._in_progress.set_function(in_progress)
        self._work_waiting.set_function(work_seconds)

    def watch_sessions(self, sessions: Callable[[], int]) -> None:
        """Publish the number of open sessions of Paint, as it is when it is looked at."""
        self._open_sessions.set_function(sessions)

    def watch_tasks(self, tasks: Callable[[], int]) -> None:
        """Publish the number of the event loop's tasks, as it is when it is looked at."""
        self._event_loop_tasks.set_function(tasks)

    def image(
        self, model: str, labels: tuple[str, str] | None, timings: ImageTimings, *, first: bool
    ) -> None:
        """Record one image, or other result of a model, and where its time went.

        A cached stage counts as a hit and stays out of the histograms, so that these go on showing what
        running the stage costs.

        Args:
            model: The model.
            labels: Kind of condition and file format of an image that was made for a caller; None for other
                results.
            timings: Its time.
            first: Whether it is the first of its request, for which what was sent was decoded.
        """
        self._queue_wait.labels(model).observe(timings.queue_wait)
        if first:
            self._stage_seconds.labels("decode").observe(timings.decode)
            self._stage_queue_seconds.labels("decode").observe(timings.worker_wait)
        for stage in timings.stages:
            if stage.cached:
                self._cache_hits.labels(stage.model).inc()
            else:
                self._stage_seconds.labels(stage.model).observe(stage.compute_seconds)
                self._stage_queue_seconds.labels(stage.model).observe(stage.queue_seconds)
        if labels is not None:
            self._stage_seconds.labels("encode").observe(timings.encode)
            self._images.labels(model, *labels).inc()

    def frames_dropped(self, model: str, count: int) -> None:
        """Count updates of a painting that got no frame of their own."""
        self._dropped_frames.labels(model).inc(count)

    def serving(self, version: str, models: Mapping[str, int]) -> None:
        """Publish the version of the service and the versions of the models that are ready."""
        self._build_info.labels(version).set(1)
        for model, model_version in models.items():
            self._model_info.labels(model, str(model_version)).set(1)

    def engine_ready(self, ready: bool) -> None:
        """Publish whether the engine can answer."""
        self._engine_ready.set(ready)

    def reloaded(self, what: Literal["certificate", "signing certificate", "keys"], *, ok: bool) -> None:
        """Count a change of a file, and whether what it holds now was taken."""
        self._reloads.labels(what, "ok" if ok else "refused").inc()

    def certificate_expires(self, file: str, at: float) -> None:
        """Publish when the certificate in use expires, in seconds since 1970."""
        self._certificate_expiry.labels(file).set(at)

    def render(self) -> bytes:
        """The text exposition of all metrics, the body of `/metrics`."""
        return generate_latest(self._registry)

    def _counter(self, name: str) -> Counter:
        spec = _spec(name, "counter")
        return Counter(spec.name, spec.help, spec.labels, registry=self._registry)

    def _gauge(self, name: str) -> Gauge:
        spec = _spec(name, "gauge")
        return Gauge(spec.name, spec.help, spec.labels, registry=self._registry)

    def _histogram(self, name: str) -> Histogram:
        spec = _spec(name, "histogram")
        return Histogram(spec.name, spec.help, spec.labels, registry=self._registry, buckets=BUCKETS_SECONDS)


def _spec(name: str, kind: str) -> MetricSpec:
    spec = METRICS[name]
    if spec.kind != kind:
        raise TypeError(f"{name} is a {spec.kind}, not a {kind}")
    return spec
