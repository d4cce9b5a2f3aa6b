"""The HTTP port: `/metrics`, `/healthz` and `/livez`; calls and the playground where they are set.

aiohttp, because its server starts and stops inside a loop that belongs to someone else, tells which port
it was given, and leaves signals alone. Whoever reaches the port can have one page of metrics made at a time,
and keep a connection that says nothing for `SILENT_SECONDS`; of too many, the oldest such one is closed.

Imported while models are loaded: it takes a part of a second.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import cast

import grpc
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from service.app.hosts import Hosts
from service.app.http_heads import MAX_HEADERS, bounded
from service.app.listening import ListenError
from service.app.playground import About, playground_routes
from service.app.process import MOST_HTTP
from service.app.settings import Settings
from service.core.metrics import Metrics
from service.rpc.web.endpoint import WebEndpoint

# A scrape in progress may finish; calls have ended by then.
_SHUTDOWN_SECONDS = 1.0

# Of a body that nobody reads yet twice so much is taken in.
_READ_BYTES = 32 * 1024

SILENT_SECONDS = 20.0
"""How long a connection may take for the headers of its first request, or of the next one."""

UNREAD_SECONDS = 60.0
"""How long a connection whose other end takes nothing of what is for it is kept, whatever it is for."""

MAX_SCRAPES = 8
"""Requests for the page of metrics at a time, of which one is worked on."""

_logger = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about more than bytes that are no HTTP, of which a port scan brings any number."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_logger.addFilter(_is_ours)


class _Refusal(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


@asynccontextmanager
async def http_server(
    host: str,
    port: int,
    *,
    metrics: Metrics,
    is_ready: Callable[[], bool],
    routes: Iterable[web.RouteDef] = (),
    hosts: Hosts = Hosts(),  # noqa: B008 - frozen
    max_connections: int = MOST_HTTP,
) -> AsyncIterator[int]:
    """Serve `/metrics`, `/healthz`, `/livez` and more routes inside this context.

    `/livez` answers for as long as the event loop turns, whatever the engine does: a gateway whose inference
    server is away must not be restarted for it.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        metrics: What `/metrics` shows.
        is_ready: Whether `/healthz` answers 200 or 503.
        routes: Further routes, in their order.
        hosts: The names under which any of it may be asked for.
        max_connections: Connections at a time; one more takes the place of the oldest that is idle.

    Yields:
        The port.

    Raises:
        ListenError: The port is taken or the address is not this machine's.
    """
    scraping, scrapes = asyncio.Lock(), 0

    async def show_metrics(request: web.Request) -> web.Response:
        nonlocal scrapes
        if scrapes >= MAX_SCRAPES:
            return web.Response(text="too many ask for metrics at a time\n", status=503)
        scrapes += 1
        try:
            async with scraping:
                body, content_type = await metrics.page_in_background(request.headers.get(hdrs.ACCEPT, ""))
        finally:
            scrapes -= 1
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if is_ready() else web.Response(text="not ready\n", status=503)

    async def show_life(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    busy: set[asyncio.BaseProtocol] = set()

    @web.middleware
    async def take_note(request: web.Request, handler: Handler) -> web.StreamResponse:
        busy.add(request.protocol)
        try:
            return await handler(request)
        finally:
            busy.discard(request.protocol)

    app = web.Application(middlewares=[_only_asked_for(hosts), take_note])
    app.add_routes(
        [
            web.get("/metrics", show_metrics),
            web.get("/healthz", show_health),
            web.get("/livez", show_life),
            *routes,
        ]
    )
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_logger,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        handler_cancellation=True,  # whose caller has gone
        auto_decompress=False,
        read_bufsize=_READ_BYTES,
        max_headers=MAX_HEADERS,
        keepalive_timeout=SILENT_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None
    serve = runner.server

    def connect() -> asyncio.Protocol:
        # Closed ones too, which aiohttp forgets, while what their other ends have not read keeps them.
        open_ones = [
            (protocol, transport)
            for protocol, transport in serve._connections.items()
            if protocol.transport is not None or transport.get_write_buffer_size()
        ]
        idle = (transport for protocol, transport in open_ones if protocol not in busy)
        for _ in range(len(open_ones) - max_connections + 1):
            if (oldest := next(idle, None)) is None:
                return _Refusal()
            oldest.abort()
        return bounded(serve())

    try:
        try:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(connect, host, port, start_serving=False)
            for listening in server.sockets:
                _let_go_of_who_reads_nothing(listening)
            await server.start_serving()
        except OSError as error:
            raise ListenError("http", host, port, error.strerror or str(error)) from error
        try:
            bound_port: int = server.sockets[0].getsockname()[1]
            yield bound_port
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _only_asked_for(hosts: Hosts) -> Middleware:
    """What refuses requests that ask for another host, whatever they are for."""

    @web.middleware
    async def refuse_others(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked_for = request.headers.getall(hdrs.HOST, [])
        if hosts.allow(asked_for):
            return await handler(request)
        shown = ", ".join(asked_for)[:100]
        told = f"Host: got {shown!r}; allowed: addresses, localhost, and the names in allowed_hosts\n"
        return web.Response(status=HTTPStatus.MISDIRECTED_REQUEST, text=told)

    return refuse_others


def _let_go_of_who_reads_nothing(listening: socket.socket) -> None:
    """Have the system end connections that take nothing, which inherit it from the socket that listens."""
    with suppress(OSError, AttributeError):  # not every system has it
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_SECONDS * 1000))


def web_endpoint(
    settings: Settings, callers_first: Sequence[grpc.aio.ServerInterceptor]
) -> WebEndpoint | None:
    """What answers calls on the HTTP port; None where nothing does."""
    if not settings.answers_http_calls:
        return None
    return WebEndpoint(
        callers_first,
        settings.origins,
        max_bytes=settings.max_message_bytes,
        ping_seconds=settings.keepalive_seconds,
    )


async def playground(settings: Settings) -> tuple[About, list[web.RouteDef]]:
    """What the playground tells, and its routes; it is of no use without calls on its port."""
    about = About(grpc_tls=settings.uses_tls, keys=settings.api_keys_file is not None)
    if not (settings.playground and settings.answers_http_calls):
        return about, []
    return about, await asyncio.to_thread(playground_routes, about)
