"""A receiver of traces (OTLP over gRPC), in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.support.gateway_process import wait_until


@dataclass(frozen=True)
class Span:
    """A span as it arrived; ids in hexadecimal, times in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int
    end: int
    failed: bool
    attributes: Mapping[str, object]
    resource: Mapping[str, object]


class OtlpReceiver(pb_grpc.TraceServiceServicer):
    """What has arrived.

    Attributes:
        address: Where it listens, as `otlp_endpoint` takes it.
    """

    def __init__(self) -> None:
        self.address = ""
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    @property
    def spans(self) -> list[Span]:
        """All spans so far."""
        with self._lock:
            return list(self._spans)

    def trace(self, trace_id: str, last: str) -> list[Span]:
        """Wait until a trace has the span that ends last, which is sent after all others of its trace."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.trace_id == trace_id]

        wait_until(
            lambda: any(span.name == last for span in found()), lambda: f"{last} did not come: {found()}"
        )
        return found()

    def Export(self, request: pb.ExportTraceServiceRequest, _: object) -> pb.ExportTraceServiceResponse:  # noqa: N802 - gRPC's
        """Take spans."""
        with self._lock:
            for resource in request.resource_spans:
                facts = _facts(resource.resource.attributes)
                for scope in resource.scope_spans:
                    self._spans += [
                        Span(
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.name,
                            span.kind,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.code == span.status.STATUS_CODE_ERROR,
                            _facts(span.attributes),
                            facts,
                        )
                        for span in scope.spans
                    ]
        return pb.ExportTraceServiceResponse()


def _facts(attributes: Iterable[KeyValue]) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes}


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """A receiver that listens inside this context."""
    receiver = OtlpReceiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]
    receiver.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()
