"""What a call costs by each way in: gRPC, Connect, Connect with JSON, gRPC-Web, and a frame over a WebSocket.

Starts a gateway of this checkout, makes one call after the other by each way in turn, and prints a table for
docs/web.md: latency, and CPU time of the gateway per call.

Usage: python -m benchmarks.web_calls [CALLS]
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import grpc
from google.protobuf.json_format import MessageToJson

from benchmarks.local_service import LocalService, local_service
from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc

_CALLS = 300
_ROUNDS = 5
_CLOCK_TICKS = 100
_SIDE = 64
_PATH = "/maskweave.v1.SynthesisService"

Way = Callable[[int], Awaitable[object]]


def _label_map() -> pb.LabelMap:
    pixels = bytes(min(7, x // 8) for _ in range(_SIDE) for x in range(_SIDE))
    return pb.LabelMap(raw=pb.RawLabelMap(data=pixels, width=_SIDE, height=_SIDE))


def _request(number: int) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(model="faces64", label_map=_label_map(), seed=number % 8)


def _stroke(number: int) -> pb.PaintRequest:
    """A dot, always elsewhere: what is drawn is made anew."""
    dot = pb.Point(x=8 + number % 48, y=8 + number * 7 % 48)
    stroke = pb.Stroke(class_id=1 + number % 6, width=5, points=[dot])
    return pb.PaintRequest(
        update=pb.PaintUpdate(sequence=number + 1, strokes=pb.StrokeList(strokes=[stroke]))
    )


def _start() -> pb.PaintRequest:
    return pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=_label_map(), seed=7))


async def _ways(service: LocalService, stack: AsyncExitStack) -> dict[str, Way]:
    url = service.metrics_url.removesuffix("/metrics") + _PATH
    session = await stack.enter_async_context(aiohttp.ClientSession())
    channel = grpc.aio.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)])
    await stack.enter_async_context(channel)
    stub: Any = pb_grpc.SynthesisServiceStub(channel)

    def post(kind: str, encode: Callable[[pb.SynthesizeRequest], bytes]) -> Way:
        async def call(number: int) -> object:
            headers = {"Content-Type": kind}
            async with session.post(
                f"{url}/Synthesize", data=encode(_request(number)), headers=headers
            ) as reply:
                assert reply.status == 200, await reply.text()
                return await reply.read()

        return call

    async def by_grpc(number: int) -> object:
        return await stub.Synthesize(_request(number))

    painting = stub.Paint()
    await painting.write(_start())
    await painting.read()

    async def frame_by_grpc(number: int) -> object:
        await painting.write(_stroke(number))
        return await painting.read()

    socket = await stack.enter_async_context(session.ws_connect(f"{url}/Paint", protocols=["maskweave.v1"]))
    await socket.send_bytes(_start().SerializeToString())
    await socket.receive_bytes()

    async def frame_by_socket(number: int) -> object:
        await socket.send_bytes(_stroke(number).SerializeToString())
        return pb.PaintResponse.FromString(await socket.receive_bytes())

    return {
        "`Synthesize`, gRPC": by_grpc,
        "`Synthesize`, Connect": post("application/proto", lambda request: request.SerializeToString()),
        "`Synthesize`, Connect with JSON": post(
            "application/json", lambda request: MessageToJson(request).encode()
        ),
        "`Synthesize`, gRPC-Web": post(
            "application/grpc-web+proto",
            lambda request: struct.pack(">BI", 0, request.ByteSize()) + request.SerializeToString(),
        ),
        "frame of `Paint`, gRPC": frame_by_grpc,
        "frame of `Paint`, WebSocket": frame_by_socket,
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


async def _measure(service: LocalService, calls: int) -> None:
    async with AsyncExitStack() as stack:
        ways = await _ways(service, stack)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        cpu = dict.fromkeys(ways, 0.0)
        number = 0
        for way in ways.values():  # warm
            for _ in range(20):
                await way(number := number + 1)
        for _ in range(_ROUNDS):  # in turn, so that a busy moment of the machine meets all
            for name, way in ways.items():
                before = _cpu_seconds(service.pid)
                for _ in range(calls // _ROUNDS):
                    began = time.perf_counter()
                    await way(number := number + 1)
                    seconds[name].append(time.perf_counter() - began)
                cpu[name] += _cpu_seconds(service.pid) - before
    print("| way | p50 | p95 | CPU of the gateway per call |\n|---|---|---|---|")
    for name, each in seconds.items():
        figures = (median(each), quantiles(each, n=20)[-1], cpu[name] / len(each))
        print(f"| {name} | " + " | ".join(f"{figure * 1e3:.2f} ms" for figure in figures) + " |")


def main(calls: int) -> None:
    """Measure, and print the table."""
    with local_service({"ACCESS_LOG": "false"}) as service:
        asyncio.run(_measure(service, calls))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _CALLS)
