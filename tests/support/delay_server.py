"""A server of the contract that makes nothing: it answers after a delay that the test knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.forked_python import context


@dataclass(frozen=True)
class Delays:
    """What is put in.

    Attributes:
        seconds: Request with the seed s is answered after `seconds[s % len(seconds)]`: with new seeds, which
            follow one another, every delay comes as often as the others.
        refuse_every: Every so many requests are refused; 0 for none.
        servers: Requests that are worked on at once; 0 for any number. Others wait.
    """

    seconds: Sequence[float] = (0.02,)
    refuse_every: int = 0
    servers: int = 0


class _Service(pb_grpc.SynthesisServiceServicer):
    def __init__(self, delays: Delays) -> None:
        self._delays = delays
        self._asked = 0
        self._free = asyncio.Semaphore(delays.servers or 1_000_000)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        return pb.ListModelsResponse(models=[MODEL])

    async def Synthesize(self, request: pb.SynthesizeRequest, context: Any) -> pb.SynthesizeResponse:  # noqa: N802
        arrived = time.monotonic()
        self._asked += 1
        if self._delays.refuse_every and self._asked % self._delays.refuse_every == 0:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        async with self._free:
            await asyncio.sleep(self._delays.seconds[request.seed % len(self._delays.seconds)])
        total = time.monotonic() - arrived
        timings = pb.Timings(total=_duration(total), decode=_duration(total / 10))
        timings.stages.add(stage="head", compute=_duration(total / 2))
        return pb.SynthesizeResponse(images=[pb.Image(data=b"image")], model_version="1.0.0", timings=timings)

    async def Paint(  # noqa: N802
        self, requests: AsyncIterator[pb.PaintRequest], context: Any
    ) -> AsyncIterator[pb.PaintResponse]:
        latest = 0
        async for request in requests:
            latest = request.update.sequence
            if latest % 3 == 0:  # two updates of three are overtaken, but for the last
                yield pb.PaintResponse(sequence=latest, image=pb.Image(data=b"image"))
        if latest % 3:
            yield pb.PaintResponse(sequence=latest, image=pb.Image(data=b"image"))


MODEL = pb.Model(
    name="delays",
    version="1.0.0",
    palette=[
        pb.PaletteEntry(id=number, name=name, title=name, color=f"#{number:02x}{number:02x}{number:02x}")
        for number, name in enumerate(("background", "hair", "skin", "eyes", "mouth"))
    ],
    conditions=[pb.ConditionSupport(kind=pb.CONDITION_KIND_LABEL_MAP, width=64, height=64)],
    image_width=64,
    image_height=64,
    limits=pb.Limits(max_images=16, max_strokes=64, max_stroke_width=64),
)


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


@contextmanager
def delay_server(delays: Delays) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(delays, there), daemon=True)
    process.start()
    there.close()
    try:
        yield f"127.0.0.1:{here.recv()}"
    finally:
        here.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(delays: Delays, link: Connection) -> None:
    async def serve() -> None:
        server = grpc.aio.server()
        pb_grpc.add_SynthesisServiceServicer_to_server(_Service(delays), server)  # type: ignore[abstract]  # what is not asked for is not there
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        link.send(port)
        await asyncio.get_running_loop().run_in_executor(None, _until_closed, link)
        await server.stop(0)

    asyncio.run(serve())


def _until_closed(link: Connection) -> None:
    try:
        link.recv()
    except (EOFError, OSError):
        return
