"""A call over HTTP as gRPC's contexts show theirs, so that `calls.py` answers both without a difference."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from aiohttp import web

from service.rpc.web.protocols import End, Trailer

Metadata = tuple[tuple[str, str], ...]

# Of the connection, or of the page that calls: of no meaning for a call.
_PASSED_OVER = {"connection", "cookie", "host", "te", "transfer-encoding", "upgrade"}


def metadata_of(headers: Mapping[str, str]) -> Metadata:
    """The headers of a request as gRPC's metadata: what gRPC would not carry is left out."""
    return tuple(
        (name.lower(), value)
        for name, value in headers.items()
        if value.isascii() and name.lower() not in _PASSED_OVER
    )


def peer_of(request: web.Request) -> str:
    """The other end of a connection as gRPC writes it."""
    address = None if request.transport is None else request.transport.get_extra_info("peername")
    if not isinstance(address, tuple):
        return "unknown"
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


class WebChannel:
    """What a call needs of the connection that it came over; the kinds of connection are below it.

    Args:
        request: The request that the call began with.
        metadata: Of the call.
        timeout: Seconds that its caller waits; None for as long as it takes.
    """

    def __init__(self, request: web.Request, metadata: Metadata, timeout: float | None) -> None:
        self._request = request
        self._metadata = metadata
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        self.end = End()

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline."""
        return None if self._deadline is None else self._deadline - asyncio.get_running_loop().time()

    def peer(self) -> str:
        """The other end of the connection."""
        return peer_of(self._request)

    def invocation_metadata(self) -> Metadata:
        """The metadata that the call came with."""
        return self._metadata

    def set_trailing_metadata(self, trailer: Trailer) -> None:
        """Say what goes with the status."""
        self.end = End(trailer=trailer)

    async def abort(self, code: grpc.StatusCode, message: str, trailer: Trailer) -> None:
        """Say that the call has failed. Unlike gRPC's this returns: it is the last that is done to a call."""
        self.end = End(code, message, trailer)

    async def read(self) -> Any:
        """The next message in protobuf's binary form; `grpc.aio.EOF` when there will be none.

        Raises:
            InvalidArgument: It is not of the protocol's form.
            MessageTooLarge: It is too large.
            CancelledError: The caller has gone.
        """
        raise NotImplementedError

    async def write(self, message: bytes) -> None:
        """Send a message; returns when the connection has taken it.

        Raises:
            CancelledError: The caller has gone.
        """
        raise NotImplementedError

    async def finish(self) -> web.StreamResponse:
        """Tell the caller how the call has ended."""
        raise NotImplementedError
