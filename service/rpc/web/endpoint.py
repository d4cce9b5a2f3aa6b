"""The gateway's calls on its HTTP port: the same interceptors, the same handlers, other connections.

To the calls this is a server like gRPC's: it is given the same handlers, finds out which one a request is
for, and lets it answer over a channel of HTTP or of a WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import grpc
from aiohttp import hdrs, web
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from maskweave.v1 import synthesis_pb2 as pb
from service.rpc.interceptors import SERVICE_NAME, Continuation, Handler
from service.rpc.web.channel import Metadata, WebChannel
from service.rpc.web.http_channel import HttpChannel
from service.rpc.web.json_messages import JsonMessages
from service.rpc.web.origins import Origins
from service.rpc.web.protocols import SERVER_STREAM, UNARY, Protocol
from service.rpc.web.socket_channel import (
    MAX_CLOSING,
    SUBPROTOCOL,
    SocketChannel,
    offered,
    opened_socket,
)

END_SECONDS = 20.0
"""How long a caller has to take in how its call has ended."""

_METHODS = pb.DESCRIPTOR.services_by_name["SynthesisService"].methods_by_name


class CallDetails(NamedTuple):
    """What interceptors are told of a call, as by gRPC."""

    method: str
    invocation_metadata: Metadata


class WebEndpoint:
    """Answers calls that come over HTTP/1.1. Belongs to one event loop.

    Args:
        interceptors: What is done with every call first.
        origins: Whose pages may call.
        max_bytes: Largest message.
        ping_seconds: How often the other end of a WebSocket must show that it is there.
    """

    def __init__(
        self,
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        origins: Origins,
        *,
        max_bytes: int,
        ping_seconds: float,
    ) -> None:
        self._interceptors = tuple(interceptors)
        self._origins = origins
        self._max_bytes = max_bytes
        self._ping_seconds = ping_seconds
        self._translate = JsonMessages()
        self._handlers: tuple[grpc.GenericRpcHandler, ...] = ()
        self._in_progress: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Semaphore(MAX_CLOSING)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Serve the methods of these handlers; as for gRPC's server. Before that the gateway is starting."""
        self._handlers = (*self._handlers, *handlers)

    def routes(self) -> list[web.RouteDef]:
        """Its routes."""
        return [web.route("*", f"/{SERVICE_NAME}/{{method}}", self._answer)]

    async def ended(self, within: float) -> None:
        """Wait until the calls in progress have ended, which gRPC's server does for its own."""
        if self._in_progress:
            await asyncio.wait(self._in_progress, timeout=within)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self._origins.may_call(request.headers):
            told = "The gateway takes no calls from pages of this origin."
            return _refusal(HTTPStatus.FORBIDDEN, "permission_denied", told)
        if request.method == hdrs.METH_OPTIONS:
            headers = self._origins.preflight(request.headers)
            return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
        headers = self._origins.headers(request.headers)
        method = _METHODS.get(request.match_info["method"])
        if method is None:
            return _refusal(HTTPStatus.NOT_FOUND, "unimplemented", "There is no such method.", headers)
        if not self._handlers:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "The gateway starts.", headers)
        refused = (_no_session if method.client_streaming else _no_call)(request, method, headers)
        if refused is not None:
            return refused
        # A task of its own: the connection's goes on to its next request with what this one leaves behind.
        session = self._session(request) if method.client_streaming else None
        answer = session or self._call(request, method, headers)
        task = asyncio.create_task(answer)
        self._in_progress.add(task)
        task.add_done_callback(self._in_progress.discard)
        return await task

    async def _call(
        self, request: web.Request, method: MethodDescriptor, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        types = (
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )
        protocol = _protocols(method)[request.content_type]
        channel = HttpChannel(
            request, protocol, types, self._translate, max_bytes=self._max_bytes, headers=headers
        )
        return await self._served(channel, request)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        opened = await opened_socket(request, max_bytes=self._max_bytes, ping_seconds=self._ping_seconds)
        return await self._served(SocketChannel(request, opened, self._closing), request)

    async def _served(self, channel: WebChannel, request: web.Request) -> web.StreamResponse:
        handler = await self._handler(CallDetails(request.path, channel.invocation_metadata()))
        assert handler is not None  # of every method of the contract there is one
        serve: Any = handler.stream_stream or handler.stream_unary  # as `Calls.handler` makes them
        await serve(None, channel)
        try:
            async with asyncio.timeout(END_SECONDS):
                return await channel.finish()
        except TimeoutError:  # nobody reads it; its deadline is over, and nothing else ends this
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None

    async def _handler(self, details: CallDetails) -> Handler | None:
        continuation: Continuation = self._found
        for interceptor in reversed(self._interceptors):
            continuation = partial(interceptor.intercept_service, continuation)
        given: Any = details
        return await continuation(given)

    async def _found(self, details: grpc.HandlerCallDetails) -> Handler | None:
        handlers = (handler.service(details) for handler in self._handlers)
        return next((handler for handler in handlers if handler is not None), None)


def _protocols(method: MethodDescriptor) -> Mapping[str, Protocol]:
    return SERVER_STREAM if method.server_streaming else UNARY


def _no_call(
    request: web.Request, method: MethodDescriptor, headers: Mapping[str, str]
) -> web.Response | None:
    """Why a request for a method that takes one message is refused; None if it is not."""
    if request.method != hdrs.METH_POST:
        headers = {**headers, hdrs.ALLOW: "OPTIONS, POST"}
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "unimplemented", "Send it by POST.", headers)
    protocols = _protocols(method)
    if request.content_type not in protocols:
        allowed = ", ".join(protocols)
        headers = {**headers, "Accept-Post": allowed}
        told = f"content-type: got {request.content_type[:100]!r}; allowed: {allowed}"
        return _refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unknown", told, headers)
    return None


def _no_session(request: web.Request, _: MethodDescriptor, headers: Mapping[str, str]) -> web.Response | None:
    """Why a request for a method that takes a stream is refused; None if it is not."""
    if request.method == hdrs.METH_POST:
        told = "Over HTTP/1.1 no stream goes both ways: use gRPC, or a WebSocket."
        return _refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "unimplemented", told, headers)
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        headers = {**headers, hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade"}
        return _refusal(HTTPStatus.UPGRADE_REQUIRED, "unimplemented", "Ask for a WebSocket.", headers)
    if SUBPROTOCOL not in offered(request):
        told = f"The subprotocol {SUBPROTOCOL} is not offered."
        return _refusal(HTTPStatus.BAD_REQUEST, "invalid_argument", told, headers)
    return None


def _refusal(
    status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A refusal of what is no call yet, as Connect writes errors."""
    return web.json_response({"code": code, "message": message}, status=status, headers=headers)
