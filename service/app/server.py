"""The gRPC server: which services it has, who may call them, and the port it listens on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import grpc

from service.app.listening import ListenError, address_text, check_socket
from service.app.process import connection_limits
from service.app.settings import Settings
from service.rpc.access import Access
from service.rpc.calls import Calls
from service.rpc.health import HEALTH, REFLECTION, GatewayHealth, add_reflection
from service.rpc.interceptors import SERVICE_NAME, Authentication, RequestIds
from service.rpc.service import SynthesisService

if TYPE_CHECKING:
    from service.app.credentials import Certificates

# Clients may ping every 10 s; a ping that comes a little early must not count against them.
_MIN_PING_INTERVAL_MS = 5_000

# Enough for 5 MB/s over a network of 50 ms; times the streams of a connection, what it can make us hold.
_LOOKAHEAD_BYTES = 256 * 1024


# An answer whose caller has gone, which gRPC calls unexpected when sending fails before it has heard of the
# cancellation; and headers that are no UTF-8, of which it logs all, key or not, and goes on with Latin-1.
_OF_CALLERS = (grpc.aio.InternalError, UnicodeDecodeError)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line is about more than what a caller does, who could fill the log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], _OF_CALLERS))


logging.getLogger("grpc._cython.cygrpc").addFilter(_is_ours)


def build_server(
    settings: Settings,
    service: SynthesisService,
    calls: Calls,
    health: GatewayHealth,
    callers_first: Sequence[grpc.aio.ServerInterceptor],
) -> grpc.aio.Server:
    """Make the server, which does not listen yet.

    Args:
        settings: The gateway's.
        service: Its methods.
        calls: Answers their calls.
        health: Its health.
        callers_first: What is done with every call first (`interceptors`).
    """
    silence_ms = int(settings.keepalive_seconds * 1000)
    server = grpc.aio.server(
        interceptors=callers_first,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # Otherwise a second gateway on the same port would start and take half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
            # Of a message that nobody waits for yet so much is taken in, however fast its caller is.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", _LOOKAHEAD_BYTES),
            # Without these, what a vanished machine had open is held until the process ends.
            ("grpc.keepalive_time_ms", silence_ms),
            ("grpc.keepalive_timeout_ms", silence_ms),
            ("grpc.http2.ping_timeout_ms", silence_ms),
            ("grpc.server_handshake_timeout_ms", silence_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            *_connection_age(settings),
            ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
            ("grpc.max_allowed_incoming_connections", connection_limits().grpc),
        ],
    )
    service.add_to(server, calls)
    health.add_to(server, calls)
    if settings.reflection:
        add_reflection(server, calls, (SERVICE_NAME, HEALTH), idle=settings.call_limits.check_seconds)
    return server


def _connection_age(settings: Settings) -> list[tuple[str, int]]:
    """Limits of a connection's age; gRPC adds a tenth by chance, so that not all end at once."""
    if not settings.max_connection_age_seconds:
        return []
    grace = settings.default_timeout_seconds
    return [
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_seconds * 1e3)),
        ("grpc.max_connection_age_grace_ms", round(grace * 1e3)),
    ]


def listen(server: grpc.aio.Server, host: str, port: int, certificates: Certificates | None) -> int:
    """Listen on an address, with TLS where there is a certificate.

    Returns:
        The port.

    Raises:
        ListenError: The port is taken or the address is not this machine's.
    """
    address = address_text(host, port)
    check_socket(host)
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        reason = "the port is taken, or the address is not this machine's"  # the log has gRPC's own words
        raise ListenError("grpc", host, port, reason) from error


def interceptors(
    settings: Settings, calls: Calls, access: Access | None
) -> tuple[grpc.aio.ServerInterceptor, ...]:
    """What is done with every call first, whatever port it comes to."""
    if access is None:
        return (RequestIds(),)
    closed = [
        name
        for name, is_open in (
            (HEALTH, settings.health_open),
            (REFLECTION, settings.reflection_open),
        )
        if not is_open
    ]
    return RequestIds(), Authentication(access, closed, calls.refusal)


# New calls are held until none has come for longer than most callers take from one call to the next: then
# all of them wait, and none sends anything while gRPC shuts down. Some never rest.
_HELD_SECONDS = 0.3
_MOST_HELD_SECONDS = 1.5
_LOOK_SECONDS = 0.05

# From the shutdown to the answer of the held: the GOAWAY must be out first.
_GOAWAY_SECONDS = 0.05

# Kept back from the grace, so that callers whose requests outlast it hear that from us.
_LAST_WORD_SECONDS = 0.1


async def stop_server(server: grpc.aio.Server, calls: Calls, grace_seconds: float) -> None:
    """Take no more calls and return when those in progress have ended, or at the end of the grace."""
    loop = asyncio.get_running_loop()
    end = loop.time() + grace_seconds
    calls.stop(grace_seconds=max(grace_seconds - _LAST_WORD_SECONDS, 0))
    await _all_held(calls, grace_seconds / 2)
    stopping = asyncio.create_task(server.stop(max(end - loop.time(), 0)))
    await asyncio.wait((stopping,), timeout=_GOAWAY_SECONDS)
    calls.refuse_held()
    await stopping


async def _all_held(calls: Calls, most_seconds: float) -> None:
    """Wait until no call has come for a while; when this process did not get to run does not count."""
    loop = asyncio.get_running_loop()
    held, quiet = calls.held, loop.time()
    end = quiet + min(_MOST_HELD_SECONDS, most_seconds)
    while (now := loop.time()) < min(quiet + _HELD_SECONDS, end):
        await asyncio.sleep(_LOOK_SECONDS)
        if calls.held != held or loop.time() > now + 2 * _LOOK_SECONDS:
            held, quiet = calls.held, loop.time()
