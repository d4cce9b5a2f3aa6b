"""Feeds the metrics of `metric_table.py`: the object that everything which is measured is told to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.values import ValueClass

from service.core.errors import ConfigurationError
from service.core.metric_kinds import Family, ManyHistogram, MetricFamily, ObservedMetrics, Readings
from service.core.metric_table import LATENCY, METRICS, MetricSpec, latency_buckets


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

_AT_ONCE = 16
"""Images, or ends of RPCs, that are counted together; those that wait are counted whenever somebody looks."""


class MethodMetrics:
    """The metrics of one method. Belongs to one event loop.

    Counts are kept as plain numbers, and put into the client library's metrics, which take a lock and several
    calls for each, when somebody looks.
    """

    __slots__ = ("_began", "_bytes_in", "_bytes_out", "_ends", "_in_flight", "_labels", "_messages_in",
                 "_messages_out", "_metrics", "_rpc")  # fmt: skip

    def __init__(self, metrics: Metrics, rpc: Rpc) -> None:
        self._metrics = metrics
        self._rpc = rpc
        self._labels = (rpc.type, rpc.service, rpc.method)
        self._in_flight = 0
        self._began = self._messages_in = self._messages_out = self._bytes_in = self._bytes_out = 0
        self._ends: list[tuple[str, float, str]] = []

    def began(self) -> None:
        """Count an RPC that arrived; every one is followed by `ended`."""
        self._began += 1
        self._in_flight += 1

    def received(self, size: int) -> None:
        """Count a message that came, of a size in bytes."""
        self._messages_in += 1
        self._bytes_in += size

    def sent(self, size: int) -> None:
        """Count a message that goes out, of a size in bytes."""
        self._messages_out += 1
        self._bytes_out += size

    def ended(self, code: str, seconds: float, trace_id: str = "") -> None:
        """Count an RPC that ended.

        Args:
            code: Its status, spelled as go-grpc-prometheus does.
            seconds: Since its arrival.
            trace_id: Of its trace, if somebody keeps that.
        """
        self._in_flight -= 1
        self._ends.append((code, seconds, trace_id))
        if len(self._ends) >= _AT_ONCE:
            self._publish_ends()

    def publish(self) -> None:
        """Put what was counted into the metrics."""
        metrics, method, labels = self._metrics, self._rpc.method, self._labels
        metrics.rpc_started.of(*labels).inc(self._began)
        metrics.received.of(*labels).inc(self._messages_in)
        metrics.sent.of(*labels).inc(self._messages_out)
        metrics.received_bytes.of(method).inc(self._bytes_in)
        metrics.sent_bytes.of(method).inc(self._bytes_out)
        metrics.in_flight.of(method).set(self._in_flight)
        if self._rpc.type != "unary":
            metrics.open_streams.of(method).set(self._in_flight)
        self._began = self._messages_in = self._messages_out = self._bytes_in = self._bytes_out = 0
        self._publish_ends()

    def _publish_ends(self) -> None:
        ends, self._ends = self._ends, []
        by_code: defaultdict[str, list[float]] = defaultdict(list)
        for code, seconds, trace_id in ends:
            if trace_id:
                self._metrics.rpc_handled.of(*self._labels, code).inc()
                self._metrics.rpc_seconds.of(*self._labels, code).observe(seconds, {"trace_id": trace_id})
            else:
                by_code[code].append(seconds)
        for code, all_seconds in by_code.items():
            self._metrics.rpc_handled.of(*self._labels, code).inc(len(all_seconds))
            self._metrics.rpc_seconds.of(*self._labels, code).observe_all(all_seconds)


class Metrics:
    """Feeds the metrics of one process. Methods are cheap. Belongs to one event loop.

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
        self._images_to_count: list[_ImageToCount] = []
        self._images_asked_for: list[tuple[str, int]] = []
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
        self._images_asked_for.append((model, images))
        if len(self._images_asked_for) >= _AT_ONCE:
            self._count_images()

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
        if len(self._images_to_count) >= _AT_ONCE:
            self._count_images()

    def _count_images(self) -> None:
        """Count the images that were recorded: many at once take a fraction of the time that each would."""
        images, self._images_to_count = self._images_to_count, []
        asked_for, self._images_asked_for = self._images_asked_for, []
        requests: defaultdict[str, list[float]] = defaultdict(list)
        waits: defaultdict[str, list[float]] = defaultdict(list)
        stages: defaultdict[str, list[float]] = defaultdict(list)
        stage_waits: defaultdict[str, list[float]] = defaultdict(list)
        made: Counts[tuple[str, ...]] = Counts()
        for model, count in asked_for:
            requests[model].append(count)
        for model, labels, timings, first in images:
            waits[model].append(timings.queue_wait)
            if first:
                stages["decode"].append(timings.decode)
                stage_waits["decode"].append(timings.worker_wait)
            for stage in timings.stages:
                if not stage.cached:
                    stages[stage.model].append(stage.compute_seconds)
                    stage_waits[stage.model].append(stage.queue_seconds)
            if labels is not None:
                stages["encode"].append(timings.encode)
                made[model, *labels] += 1
        for family, found in (
            (self._request_images, requests),
            (self._queue_wait, waits),
            (self._stage_seconds, stages),
            (self._stage_queue_seconds, stage_waits),
        ):
            for label, amounts in found.items():
                family.of(label).observe_all(amounts)
        for names, number in made.items():
            self._images.of(*names).inc(number)

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
        self._publish()
        return self._encoded(accept, tuple(self._observed.collect()))

    async def page_in_background(self, accept: str) -> tuple[bytes, str]:
        """The same, made on another thread: many series take long. What others count is read here."""
        self._publish()
        observed = tuple(self._observed.collect())
        return await asyncio.to_thread(self._encoded, accept, observed)

    def _publish(self) -> None:
        """Put into the metrics what was counted beside them."""
        self._count_images()
        for method in self._methods.values():
            method.publish()

    def _encoded(self, accept: str, observed: Sequence[MetricFamily]) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(_Page(self._registry, observed)), content_type

    def _counter(self, name: str) -> Family[Counter]:
        spec = _spec(name, "counter")
        return Family(Counter(spec.name, spec.help, spec.labels, registry=self._registry))

    def _gauge(self, name: str) -> Family[Gauge]:
        spec = _spec(name, "gauge")
        return Family(Gauge(spec.name, spec.help, spec.labels, registry=self._registry))

    def _histogram(self, name: str) -> Family[ManyHistogram]:
        spec = _spec(name, "histogram")
        buckets = self._buckets if spec.buckets == LATENCY else spec.buckets
        return Family(
            ManyHistogram(spec.name, spec.help, spec.labels, registry=self._registry, buckets=buckets)
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
