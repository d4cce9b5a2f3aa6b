"""Spans of calls, exported by OpenTelemetry's protocol (OTLP over gRPC).

Nothing here runs while a request is worked on: the times that replies and metrics tell are taken anyway, and
spans are made of them when an image, or the call, is done. Only the span of the call and those of calls to
other services are begun earlier, because others need their ids.

The SDK is imported by this module alone, and this module only where `otlp_endpoint` is set.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.core.metrics import ImageTimings, Rpc
from service.core.trace import Trace, passed_on

_UNNAMED = "unknown_service"
"""How the SDK calls a service to which neither code nor environment gives a name."""

_MOST_IMAGES = 256
"""Images of one call that have spans: a session makes any number, and a trace must stay of a size."""

_FLUSH_SECONDS = 2.0
"""How long the end of a gateway waits for the last spans to be taken."""

# Statuses that are a server's doing, by the conventions of OpenTelemetry for gRPC.
_SERVER_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Makes the traces of a gateway.

    What else the SDK is told by the environment holds: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`, `OTEL_BSP_*`.

    Args:
        endpoint: Where spans are sent: `http://host:port`, or `https://` for TLS.
        ratio: Part of the calls that is recorded, of those whose caller does not say; 0 to 1.
        version: Of the service.
    """

    def __init__(self, endpoint: str, ratio: float, version: str) -> None:
        self._ratio = ratio
        resource = Resource.create({SERVICE_VERSION: version})
        if str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "maskweave"}))
        # Which calls are recorded is decided before a span is made: one that is not costs nothing.
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("maskweave", version)

    def begin(self, rpc: Rpc, headers: Mapping[str, str], started: float) -> Trace:
        """Begin the trace of a call: the caller's, if it has one, and recorded if the caller records it.

        Args:
            rpc: The method.
            headers: The caller's `traceparent` and `tracestate`, or nothing.
            started: `time.perf_counter()` at its arrival.
        """
        theirs = passed_on(rpc, headers, started)
        if not (theirs.sampled if headers else random.random() < self._ratio):
            return theirs
        return _RecordedTrace(self._tracer, rpc, headers, started)

    async def close(self) -> None:
        """Send what is left, for as long as a moment, and stop."""
        stopping = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        done, _ = await asyncio.wait((stopping,), timeout=_FLUSH_SECONDS)
        if not done:
            self._exporter.shutdown()  # ends the attempt in progress, for which the provider waits
        await stopping


class _RecordedTrace(Trace):
    """The trace of a call whose spans are exported."""

    __slots__ = ("_context", "_images", "_offset", "_outgoing", "_span", "_tracer")

    recorded = True

    def __init__(self, tracer: otel.Tracer, rpc: Rpc, headers: Mapping[str, str], started: float) -> None:
        self._tracer = tracer
        # From the clock of the timings to that of spans, nanoseconds since 1970.
        self._offset = time.time_ns() - round(time.perf_counter() * 1e9)
        self._images = 0
        self._outgoing: set[str] = set()
        self._span = tracer.start_span(
            f"{rpc.service}/{rpc.method}",
            _propagator.extract(headers, Context()),
            otel.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": rpc.service, "rpc.method": rpc.method},
            start_time=self._at(started),
        )
        self._context = otel.set_span_in_context(self._span, Context())
        super().__init__(_headers(self._context))

    @contextmanager
    def outgoing(self, name: str) -> Iterator[Mapping[str, str]]:
        """A span of a call to another service, which gets its id."""
        self._outgoing.add(name)
        attributes = {"rpc.system": "grpc", "maskweave.stage": name}
        span = self._tracer.start_span(name, self._context, otel.SpanKind.CLIENT, attributes)
        try:
            yield _headers(otel.set_span_in_context(span, Context()))
        except BaseException as error:
            span.set_status(otel.StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    def image(self, model: str, timings: ImageTimings, index: int, *, began: float, failed: bool) -> None:
        """Make a span of an image, with one below it for each part of its time."""
        if self._images >= _MOST_IMAGES:
            return
        self._images += 1
        ended = time.perf_counter()
        attributes: dict[str, str | int] = {"maskweave.model": model, "maskweave.image_index": index}
        span = self._tracer.start_span(
            "image", self._context, attributes=attributes, start_time=self._at(began)
        )
        if failed:
            span.set_status(otel.StatusCode.ERROR)
        inside = otel.set_span_in_context(span, Context())
        now = self._part(inside, "admission", began, timings.queue_wait)
        if timings.worker_wait:
            now = self._part(inside, "worker wait", now, timings.worker_wait)
        if index == 0 and timings.decode:
            now = self._part(inside, "decode", now, timings.decode)
        for stage in timings.stages:
            now = stage.began or now
            facts: dict[str, str | float | bool] = {
                "maskweave.cached": stage.cached,
                "maskweave.queue_seconds": stage.queue_seconds,
            }
            seconds = stage.queue_seconds + stage.compute_seconds
            if stage.model in self._outgoing:  # it has a span already
                now += seconds
            else:
                now = self._part(inside, stage.model, now, seconds, facts)
        if timings.encode:
            self._part(inside, "encode", now, timings.encode)
        span.end(self._at(ended))

    def end(self, code: str, number: int, facts: Mapping[str, str | int | float]) -> None:
        """End the span of the call."""
        self._span.set_attribute("rpc.grpc.status_code", number)
        for name, value in facts.items():
            self._span.set_attribute(f"maskweave.{name}", value)
        if code in _SERVER_FAULTS:
            self._span.set_status(otel.StatusCode.ERROR, code)
        self._span.end()

    def _part(
        self,
        context: Context,
        name: str,
        began: float,
        seconds: float,
        facts: Mapping[str, str | float | bool] | None = None,
    ) -> float:
        """Make a span of a part of an image's time; tells when it ended."""
        ended = began + seconds
        self._tracer.start_span(name, context, attributes=facts, start_time=self._at(began)).end(
            self._at(ended)
        )
        return ended

    def _at(self, moment: float) -> int:
        return self._offset + round(moment * 1e9)


def _headers(context: Context) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    _propagator.inject(headers, context)
    return headers
