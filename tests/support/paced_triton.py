"""A server that speaks Triton's protocol and takes as long as it is told, without using a processor.

So a gateway's capacity is known whatever the machine: its concurrency limit, divided by the time of an image.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tests.support.model_repository import tensor_text
from tests.support.small_pack import pack_parameters

PACK = "paced"
_MODEL = "paced_label_map"
_SIDE = 4
_CONFIG = (
    f'name: "{_MODEL}" backend: "onnxruntime" max_batch_size: 1\n'
    + tensor_text("input", "LABEL_MAP", "TYPE_UINT8", f"{_SIDE}, {_SIDE}")
    + tensor_text("input", "LATENT", "TYPE_FP32", "1")
    + tensor_text("output", "IMAGE", "TYPE_UINT8", f"{_SIDE}, {_SIDE}, 3")
    + tensor_text("input", "STYLE_STRENGTH", "TYPE_FP32", "1")
    + pack_parameters(PACK, strength='{"default": 0, "min": 0, "max": 1}')
)


class PacedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc] # has no types
    """Offers one pack, whose images are black.

    Args:
        seconds: Time of each image, in turn.

    Attributes:
        open: While it is cleared, no image gets done.
    """

    def __init__(self, seconds: Sequence[float]) -> None:
        self.pace(seconds)
        self.open = threading.Event()
        self.open.set()

    def pace(self, seconds: Sequence[float]) -> None:
        """From now on images take these times, in turn."""
        self._seconds = itertools.cycle(seconds)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        """It is."""
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """It is."""
        return service_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing of it is looked at."""
        return service_pb2.ServerMetadataResponse(name="paced", version="0")

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The one model."""
        entry = service_pb2.RepositoryIndexResponse.ModelIndex(name=_MODEL, version="1", state="READY")
        return service_pb2.RepositoryIndexResponse(models=[entry])

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Its config."""
        config = text_format.Parse(_CONFIG, model_config_pb2.ModelConfig())
        return service_pb2.ModelConfigResponse(config=config)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Its version."""
        return service_pb2.ModelMetadataResponse(name=_MODEL, versions=["1"])

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A black image, after its time."""
        await asyncio.sleep(next(self._seconds))
        while not self.open.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.02)
        shape = [1, _SIDE, _SIDE, 3]
        output = service_pb2.ModelInferResponse.InferOutputTensor(name="IMAGE", datatype="UINT8", shape=shape)
        return service_pb2.ModelInferResponse(
            model_name=_MODEL,
            model_version="1",
            outputs=[output],
            raw_output_contents=[bytes(_SIDE * _SIDE * 3)],
        )


@contextmanager
def paced_triton(*seconds: float, port: int = 0) -> Iterator[tuple[PacedTriton, str]]:
    """Such a server, on a thread of its own, and its address; port 0 takes any that is free."""
    triton = PacedTriton(seconds)
    started: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
        started.append(f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}")
        await server.start()
        ready.set()
        while not stop.is_set():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.05)
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield triton, started[0]
    finally:
        triton.open.set()
        stop.set()
        thread.join(60)
