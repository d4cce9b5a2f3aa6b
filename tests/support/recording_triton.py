"""A server that speaks Triton's protocol, notes what it is asked, and answers as the test says.

For what a real Triton does not show: what exactly reaches it. It runs no models.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

MODEL = "double"
CONFIG = """
name: "double" backend: "onnxruntime" max_batch_size: 4
input { name: "IN" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "OUT" data_type: TYPE_FP32 dims: [ 2 ] }
parameters { key: "maskweave.pack" value { string_value: "anything" } }
"""

Behaviour = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[None]]


class RecordingTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc] # has no types
    """Offers one model, OUT = 2 IN.

    Attributes:
        requests: Every inference asked for.
        metadata: Metadata of each.
        seconds_left: Deadline of each, when it arrived.
        behaviour: What to do before an answer is given.
        ready: What to say when asked whether it is.
        model_ready: What to say when asked whether the model is.
        probes: How often that was asked.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.seconds_left: list[float | None] = []
        self.behaviour: Behaviour | None = None
        self.ready = True
        self.model_ready = True
        self.probes = 0
        self.config = CONFIG
        self.cancelled = asyncio.Event()

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        """Whether it is ready."""
        return service_pb2.ServerReadyResponse(ready=self.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the model is ready."""
        self.probes += 1
        return service_pb2.ModelReadyResponse(ready=self.model_ready)

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The one model."""
        entry = service_pb2.RepositoryIndexResponse.ModelIndex(name=MODEL, version="3", state="READY")
        return service_pb2.RepositoryIndexResponse(models=[entry])

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Its config."""
        config = text_format.Parse(self.config, model_config_pb2.ModelConfig())
        return service_pb2.ModelConfigResponse(config=config)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Its versions."""
        return service_pb2.ModelMetadataResponse(name=MODEL, versions=["1", "3"])

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Note the request and answer it."""
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.seconds_left.append(context.time_remaining())
        try:
            if self.behaviour is not None:
                await self.behaviour(request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        array = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
        output = service_pb2.ModelInferResponse.InferOutputTensor(
            name="OUT", datatype="FP32", shape=request.inputs[0].shape
        )
        return service_pb2.ModelInferResponse(
            model_name=MODEL, model_version="3", outputs=[output], raw_output_contents=[array.tobytes()]
        )


@asynccontextmanager
async def recording_triton() -> AsyncIterator[tuple[RecordingTriton, str]]:
    """Such a server and its address."""
    server = grpc.aio.server()
    triton = RecordingTriton()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield triton, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
