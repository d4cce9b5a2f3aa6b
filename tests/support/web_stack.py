"""The gateway's HTTP port in this process, on an engine of the test's choice."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from aiohttp import ClientSession, WSMsgType, web

from maskweave.v1 import synthesis_pb2 as pb
from service.app.hosts import Hosts
from service.app.http import http_server
from service.core.metrics import Metrics
from service.rpc.interceptors import SERVICE_NAME, RequestIds
from service.rpc.web.endpoint import WebEndpoint
from service.rpc.web.origins import Origins
from service.rpc.web.protocols import ENVELOPE
from service.rpc.web.socket_channel import SUBPROTOCOL
from tests.support.service_stack import ServiceStack

MAX_BYTES = 256 * 1024


@asynccontextmanager
async def web_server(
    stack: ServiceStack | None,
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    origins: Origins = Origins(),  # noqa: B008 - frozen
    routes: Sequence[web.RouteDef] = (),
    hosts: Hosts = Hosts(),  # noqa: B008 - frozen
    max_bytes: int = MAX_BYTES,
) -> AsyncIterator[str]:
    """A server that answers the calls of a stack; without one, as while a gateway starts. Gives its URL."""
    endpoint = WebEndpoint((RequestIds(), *interceptors), origins, max_bytes=max_bytes, ping_seconds=30)
    if stack is not None:
        stack.service.add_to(endpoint, stack.calls)
    all_routes = [*endpoint.routes(), *routes]
    async with http_server(
        "127.0.0.1", 0, metrics=Metrics(), is_ready=lambda: True, routes=all_routes, hosts=hosts
    ) as port:
        yield f"http://127.0.0.1:{port}"


def path_of(method: str) -> str:
    """Where a method is."""
    return f"/{SERVICE_NAME}/{method}"


def bearer(key: str) -> str:
    """A key as a subprotocol."""
    return "bearer." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


class WebPainter:
    """A session of `Paint` over a WebSocket."""

    def __init__(self, opened: Any) -> None:
        self.socket = opened

    async def send(self, *messages: pb.PaintRequest) -> None:
        """Send messages."""
        for message in messages:
            await self.socket.send_bytes(message.SerializeToString())

    async def finish(self) -> None:
        """End the caller's side."""
        await self.socket.send_str("end")

    async def frame(self) -> pb.PaintResponse:
        """The next frame."""
        message = await self.socket.receive(timeout=60)
        assert message.type is WSMsgType.BINARY, message
        return pb.PaintResponse.FromString(message.data)

    async def end(self) -> dict[str, Any]:
        """How the session ended, after frames that are still to come."""
        while (message := await self.socket.receive(timeout=60)).type is WSMsgType.BINARY:
            pass
        assert message.type is WSMsgType.TEXT, message
        closed = await self.socket.receive(timeout=60)
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1000)
        ending: dict[str, Any] = json.loads(message.data)
        return ending


@asynccontextmanager
async def web_painter(url: str, *subprotocols: str, **options: Any) -> AsyncIterator[WebPainter]:
    """A session at a gateway, `http://host:port`."""
    protocols = (SUBPROTOCOL, *subprotocols)
    async with (
        ClientSession() as session,
        session.ws_connect(url + path_of("Paint"), protocols=protocols, max_msg_size=0, **options) as opened,
    ):
        yield WebPainter(opened)


def envelopes(body: bytes) -> list[tuple[int, bytes]]:
    """The flags and the content of each envelope of a body."""
    found = []
    while body:
        flags, size = ENVELOPE.unpack_from(body)
        found.append((flags, body[ENVELOPE.size : ENVELOPE.size + size]))
        body = body[ENVELOPE.size + size :]
    return found


def details_of(error: dict[str, Any]) -> dict[str, Any]:
    """The details of a Connect error by their type's last name, as JSON."""
    return {each["type"].rpartition(".")[2]: each["debug"] for each in error["details"]}
