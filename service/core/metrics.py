"""Feeds the metrics of `metric_table.py`: the object that everything which is measured is told to."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.values import ValueClass

from service.core.errors import ConfigurationError
from service.core.metric_table import LATENCY, METRICS, MetricSpec, latency_buckets
from service.core.observed_metrics import MetricFamily, ObservedMetrics, Readings


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


_ImageToCount = tuple[str, tuple[str, str] | None, ImageTimings, bool]

_IMAGES_AT_ONCE = 16
"""Images that are counted together; those that wait are counted whenever somebody looks."""

M = TypeVar("M", Counter, Gauge, Histogram)


class _Histogram(Histogram):
    """A histogram that finds its bucket by bisection, in a third of the client library's time."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar:
            super().observe(amount, exemplar)
            return
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)


class _Family(Generic[M]):
    """A metric with labels, whose children are looked up once: the client library takes a lock for it."""

    __slots__ = ("_children", "_metric")

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        child = self._children.get(labels)
        if child is None:
            child = self._metric.labels(*labels) if labels else self._metric
            self._children[labels] = child
        return child


class MethodMetrics:
    """The metrics of one method."""

    __slots__ = ("_handled", "_in_flight", "_received", "_received_bytes", "_rpc", "_seconds", "_sent",
                 "_sent_bytes", "_started", "_streams")  # fmt: skip

    def __init__(self, metrics: Metrics, rpc: Rpc) -> None:
        labels = (rpc.type, rpc.service, rpc.method)
        self._rpc = labels
        self._started = metrics.rpc_started.of(*labels)
        self._handled = metrics.rpc_handled
        self._seconds = metrics.rpc_seconds
        self._received = metrics.received.of(*labels)
        self._sent = metrics.sent.of(*labels)
        self._received_bytes = metrics.received_bytes.of(rpc.method)
        self._sent_bytes = metrics.sent_bytes.of(rpc.method)
        self._in_flight = metrics.in_flight.of(rpc.method)
        self._streams = None if rpc.type == "unary" else metrics.open_streams.of(rpc.method)

    def began(self) -> None:
        """Count an RPC that arrived; every one is followed by `ended`."""
        self._started.inc()
        self._in_flight.inc()
        if self._streams is not None:
            self._streams.inc()

    def received(self, size: int) -> None:
        """Count a message that came, of a size in bytes."""
        self._received.inc()
        self._received_bytes.inc(size)

    def sent(self, size: int) -> None:
        """Count a message that goes out, of a size in bytes."""
        self._sent.inc()
        self._sent_bytes.inc(size)

    def ended(self, code: str, seconds: float, trace_id: str = "") -> None:
        """Count an RPC that ended.

        Args:
            code: Its status, spelled as go-grpc-prometheus does.
            seconds: Since its arrival.
            trace_id: Of its trace, if somebody keeps that.
        """
        self._handled.of(*self._rpc, code).inc()
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._seconds.of(*self._rpc, code).observe(seconds, exemplar)
        self._in_flight.dec()
        if self._streams is not None:
            self._streams.dec()


class Metrics:
    """Feeds the metrics of one process. Methods are cheap and may be called from any thread.

    Args:
        buckets: Upper bounds of the buckets of latencies, in seconds.

    Raises:
        ConfigurationError: The environment makes the client library write into files what several processes
            count together, for which these metrics are not made: each gateway has a page of its own.
    """

    def __init__(self, buckets: Sequence[float] | None = None) -> None:
        if ValueClass.__name__ != "MutexValue":
            raise ConfigurationError(
                ["PROMETHEUS_MULTIPROC_DIR: is set; allowed: not set. Each gateway has a page of its own, on "
                 "its own http_port"]
            )  # fmt: skip
        # Its second series per series is read by no dashboard.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._buckets = tuple(buckets or latency_buckets())
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._observed = ObservedMetrics()
        self._images_to_count: deque[_ImageToCount] = deque()
        self._methods: dict[Rpc, MethodMetrics] = {}
        self.rpc_started = self._counter("grpc_server_started_total")
        self.rpc_handled = self._counter("grpc_server_handled_total")
        self.rpc_seconds = self._histogram("grpc_server_handling_seconds")
        self.received = self._counter("grpc_server_msg_received_total")
        self.sent = self._counter("grpc_server_msg_sent_total")
        self.received_bytes = self._counter("maskweave_received_bytes_total")
        self.sent_bytes = self._counter("maskweave_sent_bytes_total")
        self.in_flight = self._gauge("maskweave_requests_in_flight")
        self.open_streams = self._gauge("maskweave_open_streams")
        self._failures = self._counter("maskweave_failures_total")
        self._shed = self._counter("maskweave_shed_total")
        self._cancelled = self._counter("maskweave_cancelled_total")
        self._queue_wait = self._histogram("maskweave_queue_wait_seconds")
        self._request_images = self._histogram("maskweave_request_images")
        self._images = self._counter("maskweave_images_total")
        self._dropped_frames = self._counter("maskweave_paint_dropped_frames_total")
        self._stage_seconds = self._histogram("maskweave_stage_duration_seconds")
        self._stage_queue_seconds = self._histogram("maskweave_stage_queue_duration_seconds")
        self._loop_lag = self._histogram("maskweave_event_loop_lag_seconds")
        self._engine_ready = self._gauge("maskweave_engine_ready")
        self._model_info = self._gauge("maskweave_model_info")
        self._reloads = self._counter("maskweave_reloads_total")
        self._certificate_expiry = self._gauge("maskweave_certificate_expiry_seconds")
        self._build_info = self._gauge("maskweave_build_info")
        self.engine_ready(False)

    def method(self, rpc: Rpc) -> MethodMetrics:
        """The metrics of a method."""
        if rpc not in self._methods:
            self._methods[rpc] = MethodMetrics(self, rpc)
        return self._methods[rpc]

    def failed(self, reason: str) -> None:
        """Count a failure by the stable reason of its error class."""
        self._failures.of(reason).inc()

    def shed(self, cause: str) -> None:
        """Count an RPC that was refused for want of room."""
        self._shed.of(cause).inc()

    def cancelled(self, cause: Literal["caller", "deadline", "idle", "shutdown"]) -> None:
        """Count an RPC that was given up."""
        self._cancelled.of(cause).inc()

    def watch(self, read: Callable[[], Readings]) -> None:
        """Publish what others count, as it is when it is looked at (see `ObservedMetrics.add`)."""
        self._observed.add(read)

    def admitted(self, model: str, images: int) -> None:
        """Count a request by how many images it asks for."""
        self._request_images.of(model).observe(images)

    def image(
        self, model: str, labels: tuple[str, str] | None, timings: ImageTimings, *, first: bool
    ) -> None:
        """Record one image, or other result of a model, and where its time went.

        A cached stage stays out of the histograms, so that these go on showing what running the stage costs.

        Args:
            model: The model.
            labels: Kind of condition and file format of an image that was made for a caller; None for other
                results.
            timings: Its time.
            first: Whether it is the first of its request, for which what was sent was decoded.
        """
        self._images_to_count.append((model, labels, timings, first))
        if len(self._images_to_count) >= _IMAGES_AT_ONCE:
            self._count_images()

    def _count_images(self) -> None:
        """Count the images that were recorded: many at once take a fraction of the time that each would."""
        with suppress(IndexError):
            while True:
                self._count_image(*self._images_to_count.popleft())

    def _count_image(
        self, model: str, labels: tuple[str, str] | None, timings: ImageTimings, first: bool
    ) -> None:
        self._queue_wait.of(model).observe(timings.queue_wait)
        if first:
            self._stage_seconds.of("decode").observe(timings.decode)
            self._stage_queue_seconds.of("decode").observe(timings.worker_wait)
        for stage in timings.stages:
            if not stage.cached:
                self._stage_seconds.of(stage.model).observe(stage.compute_seconds)
                self._stage_queue_seconds.of(stage.model).observe(stage.queue_seconds)
        if labels is not None:
            self._stage_seconds.of("encode").observe(timings.encode)
            self._images.of(model, *labels).inc()

    def frames_dropped(self, model: str, count: int) -> None:
        """Count updates of a painting that got no frame of their own."""
        self._dropped_frames.of(model).inc(count)

    def loop_late(self, seconds: float) -> None:
        """Record by how much the event loop was late for a timer."""
        self._loop_lag.of().observe(seconds)

    def serving(self, version: str, models: Mapping[str, int]) -> None:
        """Publish the version of the service and the versions of the models that are ready."""
        self._build_info.of(version).set(1)
        for model, model_version in models.items():
            self._model_info.of(model, str(model_version)).set(1)

    def engine_ready(self, ready: bool) -> None:
        """Publish whether the engine can answer."""
        self._engine_ready.of().set(ready)

    def reloaded(self, what: Literal["certificate", "signing certificate", "keys"], *, ok: bool) -> None:
        """Count a change of a file, and whether what it holds now was taken."""
        self._reloads.of(what, "ok" if ok else "refused").inc()

    def certificate_expires(self, file: str, at: float) -> None:
        """Publish when the certificate in use expires, in seconds since 1970."""
        self._certificate_expiry.of(file).set(at)

    def render(self) -> bytes:
        """All metrics in Prometheus' own text format."""
        return self.page("")[0]

    def page(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that somebody wants.

        Args:
            accept: Their `Accept` header. OpenMetrics, which Prometheus asks for, has exemplars.

        Returns:
            The body of `/metrics`, and its content type.
        """
        self._count_images()
        return self._encoded(accept, tuple(self._observed.collect()))

    async def page_in_background(self, accept: str) -> tuple[bytes, str]:
        """The same, made on another thread: many series take long. What others count is read here."""
        self._count_images()
        observed = tuple(self._observed.collect())
        return await asyncio.to_thread(self._encoded, accept, observed)

    def _encoded(self, accept: str, observed: Sequence[MetricFamily]) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(_Page(self._registry, observed)), content_type

    def _counter(self, name: str) -> _Family[Counter]:
        spec = _spec(name, "counter")
        return _Family(Counter(spec.name, spec.help, spec.labels, registry=self._registry))

    def _gauge(self, name: str) -> _Family[Gauge]:
        spec = _spec(name, "gauge")
        return _Family(Gauge(spec.name, spec.help, spec.labels, registry=self._registry))

    def _histogram(self, name: str) -> _Family[Histogram]:
        spec = _spec(name, "histogram")
        buckets = self._buckets if spec.buckets == LATENCY else spec.buckets
        return _Family(
            _Histogram(spec.name, spec.help, spec.labels, registry=self._registry, buckets=buckets)
        )


class _Page(Collector):
    """What a page shows. Between metrics it lets other threads go on, above all that of the event loop."""

    def __init__(self, registry: CollectorRegistry, observed: Sequence[MetricFamily]) -> None:
        self._registry = registry
        self._observed = observed

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            yield family
            time.sleep(0)
        yield from self._observed


def _spec(name: str, kind: str) -> MetricSpec:
    spec = METRICS[name]
    if spec.kind != kind:
        raise TypeError(f"{name} is a {spec.kind}, not a {kind}")
    return spec
