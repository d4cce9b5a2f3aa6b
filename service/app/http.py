"""The HTTP port: `/metrics`, `/healthz` and `/livez`, and what is given to it besides.

aiohttp, because its server starts and stops inside a loop that belongs to someone else, tells which port
it was given, and leaves signals alone.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from service.app.listening import ListenError
from service.core.metrics import Metrics

# A scrape in progress may finish; calls have ended by then.
_SHUTDOWN_SECONDS = 1.0

# Of a body that nobody reads yet twice so much is taken in.
_READ_BYTES = 32 * 1024

_logger = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about more than bytes that are no HTTP, of which a port scan brings any number."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_logger.addFilter(_is_ours)


@asynccontextmanager
async def http_server(
    host: str,
    port: int,
    *,
    metrics: Metrics,
    is_ready: Callable[[], bool],
    routes: Iterable[web.RouteDef] = (),
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

    Yields:
        The port.

    Raises:
        ListenError: The port is taken or the address is not this machine's.
    """

    async def show_metrics(request: web.Request) -> web.Response:
        body, content_type = metrics.page(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def show_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if is_ready() else web.Response(text="not ready\n", status=503)

    async def show_life(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
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
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ListenError("http", host, port, error.strerror or str(error)) from error
        bound_port: int = runner.addresses[0][1]
        yield bound_port
    finally:
        await runner.cleanup()
