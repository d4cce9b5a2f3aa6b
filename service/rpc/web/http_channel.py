"""One request and its answers over HTTP: unary calls, and streams of answers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import grpc
from aiohttp import ClientError, web
from google.protobuf.message import Message

from service.core.errors import InvalidArgument, MessageTooLarge
from service.rpc.web.channel import WebChannel, metadata_of
from service.rpc.web.json_messages import JsonMessages
from service.rpc.web.protocols import (
    COMPRESSED,
    END_STREAM,
    ENVELOPE,
    TRAILERS,
    Protocol,
    enveloped,
    timeout_seconds,
)

# base64 of what is allowed, and the envelope.
_TEXT_FACTOR = 4 / 3
_TEXT_GROUP = 4


class HttpChannel(WebChannel):
    """A call over HTTP.

    Args:
        request: The request; its body is not read before `read`.
        protocol: How its messages are written.
        types: Of its request and of its answers.
        translate: Between text and protobuf's binary form.
        max_bytes: Largest message.
        headers: Of the reply, whatever it is.
    """

    def __init__(
        self,
        request: web.Request,
        protocol: Protocol,
        types: tuple[type[Message], type[Message]],
        translate: JsonMessages,
        *,
        max_bytes: int,
        headers: Mapping[str, str],
    ) -> None:
        timeout, self._refused = _timeout(protocol, request.headers)
        super().__init__(request, metadata_of(request.headers), timeout)
        self._protocol = protocol
        self._request_type, self._reply_type = types
        self._translate = translate
        self._max_bytes = max_bytes
        self._headers = {**headers, "Content-Type": protocol.content_type}
        self._read = False
        self._reply: bytes | None = None  # of a unary call of Connect, which ends before it is sent
        self._stream: web.StreamResponse | None = None

    async def read(self) -> Any:  # noqa: D102 - inherited
        if self._read:
            return grpc.aio.EOF
        self._read = True
        if self._refused is not None:
            raise self._refused
        self._check_encoding()
        data = await self._message()
        if data is None or not self._protocol.json:
            return grpc.aio.EOF if data is None else data
        return await self._translate.to_binary(data, self._request_type)

    async def write(self, message: bytes) -> None:  # noqa: D102 - inherited
        if self._protocol.json:
            message = await self._translate.to_json(message, self._reply_type)
        if self._protocol.enveloped:
            await self._send(enveloped(0, message))
        else:
            self._reply = message

    async def finish(self) -> web.StreamResponse:  # noqa: D102 - inherited
        if not self._protocol.enveloped:
            return self._unary_reply()
        if self._protocol.grpc_web:
            await self._send(enveloped(TRAILERS, self.end.grpc_web_trailers()))
        else:
            await self._send(enveloped(END_STREAM, self.end.connect_end()))
        assert self._stream is not None
        await self._stream.write_eof()
        return self._stream

    def _unary_reply(self) -> web.Response:
        trailers = {f"trailer-{name}": value for name, value in self.end.metadata(details=False)}
        # Under its own name too, for curl and the like.
        own = {name: value for name, value in self.end.metadata(details=False) if name == "x-request-id"}
        headers = {**self._headers, **trailers, **own}
        if self.end.ok:
            return web.Response(body=self._reply or b"", headers=headers)
        headers["Content-Type"] = "application/json"
        body = json.dumps(self.end.connect_error()).encode()
        return web.Response(status=self.end.http_status, body=body, headers=headers)

    async def _send(self, data: bytes) -> None:
        try:
            if self._stream is None:
                self._stream = web.StreamResponse(headers=self._headers)
                await self._stream.prepare(self._request)
            await self._stream.write(base64.b64encode(data) if self._protocol.text else data)
        except ConnectionError:
            raise asyncio.CancelledError from None

    def _check_encoding(self) -> None:
        name = self._protocol.encoding_header
        encoding = self._request.headers.get(name, "identity")
        if encoding != "identity":
            raise InvalidArgument(name, repr(encoding), "identity: messages are not compressed")

    async def _message(self) -> bytes | None:
        body = await self._body()
        if not self._protocol.enveloped:
            return body
        if not body:
            return None
        if len(body) < ENVELOPE.size:
            raise InvalidArgument("(message)", f"{len(body)} bytes", "an envelope of 5 bytes first")
        flags, size = ENVELOPE.unpack_from(body)
        if flags & COMPRESSED:
            raise InvalidArgument("(message)", "a compressed message", "messages that are not compressed")
        if flags or len(body) != ENVELOPE.size + size:
            got = f"flags {flags:#x}, {size} bytes announced and {len(body) - ENVELOPE.size} sent"
            raise InvalidArgument("(message)", got, "one message in an envelope with the flags 0x0")
        return body[ENVELOPE.size :]

    async def _body(self) -> bytes:
        most = self._max_bytes + (ENVELOPE.size if self._protocol.enveloped else 0)
        if self._protocol.text or self._protocol.json:
            most = int(most * _TEXT_FACTOR) + _TEXT_GROUP
        body = bytearray()
        try:
            while part := await self._request.content.readany():
                body += part
                if len(body) > most:
                    raise MessageTooLarge(most)
        except (ConnectionError, ClientError, web.RequestPayloadError):
            raise asyncio.CancelledError from None  # nobody is there to hear of it
        if not self._protocol.text:
            return bytes(body)
        return await self._translate.from_base64(body)


def _timeout(protocol: Protocol, headers: Mapping[str, str]) -> tuple[float | None, InvalidArgument | None]:
    """The time that the caller waits, or why it cannot be read, which is told once the call is counted."""
    try:
        return timeout_seconds(protocol, headers), None
    except InvalidArgument as error:
        return None, error
