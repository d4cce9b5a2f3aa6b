"""What the HTTP port has: pages for machines, calls from browsers, the playground.

Apart from `gateway.py`, as it is imported while models are loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from aiohttp import web

from service.app.http import http_server
from service.app.playground import About, playground_routes
from service.app.settings import Settings
from service.rpc.web.endpoint import WebEndpoint

__all__ = ["http_server", "playground", "web_endpoint"]


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
