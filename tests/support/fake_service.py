"""A service that answers as a test tells it to, behind a real socket, and a clock that a test moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc

Context = grpc.ServicerContext


@dataclass(frozen=True)
class Refusal:
    """How a call fails.

    Attributes:
        code: Its status.
        retry_info_seconds: When to come back, in the details; None for without.
        pushback_ms: The same in the trailer of gRPC's own retries, as text; None for without.
        after: Messages of a stream before it.
    """

    code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED
    retry_info_seconds: float | None = None
    pushback_ms: str | None = None
    after: int = 0

    def abort(self, context: Context) -> None:
        """End the call."""
        trailer: list[tuple[str, str | bytes]] = []
        if self.retry_info_seconds is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(round(self.retry_info_seconds * 1e9))
            status = status_pb2.Status(code=self.code.value[0], message="refused")
            status.details.add().Pack(info)
            trailer.append(("grpc-status-details-bin", status.SerializeToString()))
        if self.pushback_ms is not None:
            trailer.append(("grpc-retry-pushback-ms", self.pushback_ms))
        context.set_trailing_metadata(tuple(trailer))
        context.abort(self.code, "refused")


@dataclass
class FakeService(pb_grpc.SynthesisServiceServicer):
    """Refuses as often as there are refusals, and then answers.

    Attributes:
        refusals: What is still refused.
        model: What GetModel says.
        requests: What it has been sent.
        remaining: Seconds that each call had left at its beginning.
        called: Set when it has been called.
    """

    refusals: list[Refusal] = field(default_factory=list)
    model: pb.Model = field(default_factory=pb.Model)
    requests: list[Any] = field(default_factory=list)
    remaining: list[float] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)

    def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: N802
        """Describe the model; there is no other."""
        refusal = self._take(request, context)
        if refusal is not None:
            refusal.abort(context)
        if request.name != self.model.name:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such model")
        return pb.GetModelResponse(model=self.model)

    def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """List the model."""
        refusal = self._take(request, context)
        if refusal is not None:
            refusal.abort(context)
        return pb.ListModelsResponse(models=[self.model])

    def Synthesize(self, request: pb.SynthesizeRequest, context: Context) -> pb.SynthesizeResponse:  # noqa: N802
        """Answer without an image."""
        refusal = self._take(request, context)
        if refusal is not None:
            refusal.abort(context)
        return pb.SynthesizeResponse(model_version="1.0.0")

    def SynthesizeStream(  # noqa: N802
        self, request: pb.SynthesizeRequest, context: Context
    ) -> Iterator[pb.SynthesizeStreamResponse]:
        """Answer with two images that are empty."""
        refusal = self._take(request, context)
        image = pb.Image(format=pb.IMAGE_FORMAT_RAW)
        for index in range(2 if refusal is None else refusal.after):
            yield pb.SynthesizeStreamResponse(index=index, image=image)
        if refusal is not None:
            refusal.abort(context)

    def Paint(self, requests: Iterator[pb.PaintRequest], context: Context) -> Iterator[pb.PaintResponse]:  # noqa: N802
        """Answer each message with a frame that is empty."""
        for sequence, request in enumerate(requests):
            self._take(request, context)
            yield pb.PaintResponse(sequence=sequence, image=pb.Image(format=pb.IMAGE_FORMAT_RAW))

    def Edit(self, request: pb.EditRequest, context: Context) -> pb.EditResponse:  # noqa: N802
        """Answer without an image."""
        self._take(request, context)
        return pb.EditResponse(image=pb.Image(format=pb.IMAGE_FORMAT_RAW))

    def EncodeStyles(self, request: pb.EncodeStylesRequest, context: Context) -> pb.EncodeStylesResponse:  # noqa: N802
        """Answer without a code."""
        self._take(request, context)
        return pb.EncodeStylesResponse()

    def ReadLabelMap(self, request: pb.ReadLabelMapRequest, context: Context) -> pb.ReadLabelMapResponse:  # noqa: N802
        """Answer with a label map of one pixel."""
        self._take(request, context)
        raw = pb.RawLabelMap(data=b"\0", width=1, height=1)
        return pb.ReadLabelMapResponse(label_map=pb.LabelMap(raw=raw))

    def Morph(self, request: pb.MorphRequest, context: Context) -> Iterator[pb.MorphResponse]:  # noqa: N802
        """Answer without a frame."""
        self._take(request, context)
        yield from ()

    def _take(self, request: object, context: Context) -> Refusal | None:
        self.requests.append(request)
        self.remaining.append(context.time_remaining())
        self.called.set()
        return self.refusals.pop(0) if self.refusals else None


@contextmanager
def serving(service: FakeService) -> Iterator[str]:
    """Serve it on this machine, and give its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    pb_grpc.add_SynthesisServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class Clock:
    """A clock that stands still but while somebody pauses.

    Attributes:
        now: What it shows, in seconds.
        pauses: How long somebody paused, each time.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        """What it shows."""
        return self.now

    def pause(self, seconds: float) -> bool:
        """Let it show so much more."""
        self.pauses.append(seconds)
        self.now += seconds
        return True

    async def pause_async(self, seconds: float) -> bool:
        """The same as a coroutine."""
        return self.pause(seconds)
