"""A session over a WebSocket: what a browser has in place of a stream in both directions.

Each binary message is one message of the method, in protobuf's binary form. The text `end` is the end of the
caller's side; the service's last message is a text, the end of the call as Connect writes it at the end of a
stream. A page cannot send headers with a WebSocket, so that its key comes as a subprotocol.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import grpc
from aiohttp import WSCloseCode, WSMessage, WSMsgType, hdrs, web

from service.core.errors import InvalidArgument
from service.rpc.access import AUTHORIZATION
from service.rpc.web.channel import Metadata, WebChannel, metadata_of

SUBPROTOCOL = "maskweave.v1"
"""The subprotocol that a caller must offer."""

_BEARER = "bearer."

END = "end"
"""The text that ends the caller's side."""

MAX_CLOSING = 8
"""WebSockets at a time that are over and still read, each up to the largest message."""

CLOSE_SECONDS = 1.0
"""How long the other end has to close what is over."""

# What has been taken, but not sent yet: a frame that waits there is old by the time that it is seen.
_UNSENT_BYTES = 16 * 1024


def offered(request: web.Request) -> list[str]:
    """The subprotocols that a request offers, in the first of its headers for it: aiohttp reads no other."""
    offer = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    return [item for part in offer.split(",") if (item := part.strip())]


class SocketChannel(WebChannel):
    """A call over a WebSocket, which has been opened.

    Args:
        request: The request that it began with.
        opened: The WebSocket.
        closing: Places for those that are over and are read until their other ends have closed.
    """

    def __init__(
        self, request: web.Request, opened: web.WebSocketResponse, closing: asyncio.Semaphore
    ) -> None:
        super().__init__(request, _metadata(request), None)
        self._socket = opened
        self._closing = closing
        self._begun = False
        self._ended = False
        self._task = asyncio.current_task()

    async def read(self) -> Any:  # noqa: D102 - inherited
        if self._ended:
            return grpc.aio.EOF
        if not self._begun:
            self._begun = True
            self._request.protocol.resume_reading()
        message = await self._next()
        if message.type is WSMsgType.BINARY:
            return message.data
        if message.type is WSMsgType.TEXT:
            if message.data != END:
                raise InvalidArgument("(message)", "a text", f"binary messages, and {END!r} as the last")
            self._ended = True
            return grpc.aio.EOF
        # The caller has gone: as gRPC does, end the whole call, whichever of its tasks reads.
        assert self._task is not None
        self._task.cancel()
        await asyncio.Event().wait()
        raise AssertionError

    async def _next(self) -> WSMessage:
        """The next message that is no ping or pong; whoever floods with these takes turns with others."""
        while True:
            await asyncio.sleep(0)  # what has come already is read without a wait
            message = await self._socket.receive()
            if message.type is WSMsgType.PING:
                with suppress(ConnectionError):  # the next look tells
                    await self._socket.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return message

    async def write(self, message: bytes) -> None:  # noqa: D102 - inherited
        try:
            await self._socket.send_bytes(message)
        except ConnectionError:
            raise asyncio.CancelledError from None

    async def finish(self) -> web.StreamResponse:  # noqa: D102 - inherited
        with suppress(ConnectionError):
            await self._socket.send_str(self.end.connect_end().decode())
            if self._begun and not self._closing.locked():
                async with self._closing:
                    await self._socket.close()
            else:
                await self._close_unread()
        return self._socket

    async def _close_unread(self) -> None:
        """Close without a look at what comes, and so at whether the other end has closed."""
        self._request.protocol.pause_reading()
        await self._socket.send_frame(struct.pack(">H", WSCloseCode.OK), WSMsgType.CLOSE)
        await asyncio.sleep(CLOSE_SECONDS)
        if self._request.transport is not None:
            self._request.transport.close()


async def opened_socket(
    request: web.Request, *, max_bytes: int, ping_seconds: float
) -> web.WebSocketResponse:
    """Open the WebSocket that a request asks for.

    Args:
        request: The request.
        max_bytes: Largest message.
        ping_seconds: How often the other end must show that it is there.

    Nothing of what comes over it is taken in before the channel is read: until then nobody knows whose it is.

    Raises:
        HTTPBadRequest: It asks for none.
    """
    opened = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        heartbeat=ping_seconds,
        autoping=False,
        compress=False,  # images do not get smaller
        max_msg_size=max_bytes,
        writer_limit=0,
        timeout=CLOSE_SECONDS,
    )
    await opened.prepare(request)
    request.protocol.pause_reading()
    if request.transport is not None:
        request.transport.set_write_buffer_limits(0)
        _send_no_more_than(_UNSENT_BYTES, request.transport.get_extra_info("socket"))
    return opened


def _send_no_more_than(size: int, connection: Any) -> None:
    with suppress(OSError, AttributeError):  # where the system has no such limit, its buffers are larger
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)


def _metadata(request: web.Request) -> Metadata:
    given = metadata_of(request.headers)
    if (key := _offered_key(offered(request))) is None:
        return given
    return (*given, (AUTHORIZATION, f"Bearer {key}"))


def _offered_key(subprotocols: Iterable[str]) -> str | None:
    for each in subprotocols:
        if each.startswith(_BEARER):
            text = each.removeprefix(_BEARER)
            try:
                return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode(
                    "ascii"
                )
            except (binascii.Error, ValueError):
                return ""  # no key has this form
    return None
