"""The HTTP port: `/metrics`, `/healthz` and `/livez`, and what is given to it besides.

aiohttp, because its server starts and stops inside a loop that belongs to someone else, tells which port
it was given, and leaves signals alone. Whoever reaches the port can have one page of metrics made at a time,
and keep a connection that says nothing for `SILENT_SECONDS`; of too many, the oldest such one is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from service.app.descriptors import MOST_HTTP
from service.app.listening import ListenError
from service.core.metrics import Metrics

# A scrape in progress may finish; calls have ended by then.
_SHUTDOWN_SECONDS = 1.0

# Of a body that nobody reads yet twice so much is taken in.
_READ_BYTES = 32 * 1024

SILENT_SECONDS = 20.0
"""How long a connection may take for the headers of its first request, or of the next one."""

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
    async def take_note(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        busy.add(request.protocol)
        try:
            return await handler(request)
        finally:
            busy.discard(request.protocol)

    app = web.Application(middlewares=[take_note])
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
        keepalive_timeout=SILENT_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None
    serve = runner.server

    def connect() -> asyncio.Protocol:
        open_ones = [each for each in serve.connections if each.transport is not None]
        idle = (each for each in open_ones if each not in busy)
        for _ in range(len(open_ones) - max_connections + 1):
            if (oldest := next(idle, None)) is None:
                return _Refusal()
            cast(asyncio.Transport, oldest.transport).abort()
        return serve()

    try:
        try:
            server = await asyncio.get_running_loop().create_server(connect, host, port)
        except OSError as error:
            raise ListenError("http", host, port, error.strerror or str(error)) from error
        try:
            bound_port: int = server.sockets[0].getsockname()[1]
            yield bound_port
        finally:
            server.close()
    finally:
        await runner.cleanup()
