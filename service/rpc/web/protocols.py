"""Connect and gRPC-Web on the wire: what a request says of itself, envelopes, and how a call ends.

Sources: https://connectrpc.com/docs/protocol and
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import status_pb2  # type: ignore[import-untyped]

from service.core.errors import InvalidArgument
from service.rpc.status import DETAILS_TRAILER

Trailer = tuple[tuple[str, str | bytes], ...]

ENVELOPE = struct.Struct(">BI")
"""Before each message of a stream: flags, and the size of what follows."""

COMPRESSED, END_STREAM, TRAILERS = 0x01, 0x02, 0x80
"""Flags: of both protocols, of Connect, of gRPC-Web."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How the messages of a call are written.

    Attributes:
        content_type: Of the reply.
        json: Whether messages are JSON.
        enveloped: Whether each message has an envelope, and the status comes at the end of the body.
        grpc_web: Whether the status is gRPC's; otherwise it is Connect's.
        text: Whether the body is base64, as gRPC-Web's text is.
        timeout_header: The header with the time that the caller waits.
        encoding_header: The header with the compression of the messages.
    """

    content_type: str
    json: bool = False
    enveloped: bool = False
    grpc_web: bool = False
    text: bool = False

    @property
    def timeout_header(self) -> str:  # noqa: D102 - above
        return "grpc-timeout" if self.grpc_web else "connect-timeout-ms"

    @property
    def encoding_header(self) -> str:  # noqa: D102 - above
        if self.grpc_web:
            return "grpc-encoding"
        return "connect-content-encoding" if self.enveloped else "content-encoding"


_CONNECT_UNARY = {
    "application/proto": Protocol("application/proto"),
    "application/json": Protocol("application/json", json=True),
}
_CONNECT_STREAM = {
    "application/connect+proto": Protocol("application/connect+proto", enveloped=True),
    "application/connect+json": Protocol("application/connect+json", json=True, enveloped=True),
}
_GRPC_WEB = {
    name + form: Protocol(f"{name}+proto", enveloped=True, grpc_web=True, text=name.endswith("text"))
    for name in ("application/grpc-web", "application/grpc-web-text")
    for form in ("", "+proto")
}
UNARY: Mapping[str, Protocol] = {**_CONNECT_UNARY, **_GRPC_WEB}
"""The protocols of unary methods, by content type."""

SERVER_STREAM: Mapping[str, Protocol] = {**_CONNECT_STREAM, **_GRPC_WEB}
"""The protocols of methods that answer with a stream, by content type."""

_CONNECT_TIMEOUT = re.compile(r"[0-9]{1,10}")
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def timeout_seconds(protocol: Protocol, headers: Mapping[str, str]) -> float | None:
    """The time that the caller waits; None when it does not say.

    Raises:
        InvalidArgument: It says so in a form that is not the protocol's.
    """
    name = protocol.timeout_header
    value = headers.get(name)
    if value is None:
        return None
    if protocol.grpc_web:
        if found := _GRPC_TIMEOUT.fullmatch(value):
            return int(found[1]) * _GRPC_UNITS[found[2]]
        raise InvalidArgument(name, repr(value), "up to 8 digits and one of H, M, S, m, u and n")
    if _CONNECT_TIMEOUT.fullmatch(value):
        return int(value) / 1e3
    raise InvalidArgument(name, repr(value), "milliseconds, up to 10 digits")


_HTTP_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True, slots=True)
class End:
    """How a call has ended.

    Attributes:
        code: gRPC's status.
        message: What the caller is told.
        trailer: gRPC's trailing metadata; a failure's has `grpc-status-details-bin`.
    """

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    trailer: Trailer = ()

    @property
    def ok(self) -> bool:
        """Whether it went well."""
        return self.code is grpc.StatusCode.OK

    @property
    def http_status(self) -> int:
        """Connect's HTTP status of it."""
        return 200 if self.ok else _HTTP_STATUSES.get(self.code, 500)

    def metadata(self, *, details: bool) -> Iterable[tuple[str, str]]:
        """The trailing metadata as text, with or without the details of a failure."""
        for name, value in self.trailer:
            if name != DETAILS_TRAILER or details:
                yield name, value if isinstance(value, str) else _base64(value)

    def connect_error(self) -> dict[str, Any]:
        """The failure as Connect writes it."""
        details = dict(self.trailer).get(DETAILS_TRAILER)
        error: dict[str, Any] = {"code": _connect_code(self.code), "message": self.message}
        if isinstance(details, bytes):
            error["details"] = [_detail(each) for each in status_pb2.Status.FromString(details).details]
        return error

    def connect_end(self) -> bytes:
        """Connect's end of a stream: the failure, if there is one, and the trailing metadata."""
        metadata: dict[str, list[str]] = {}
        for name, value in self.metadata(details=False):
            metadata.setdefault(name, []).append(value)
        ending: dict[str, Any] = {"metadata": metadata}
        if not self.ok:
            ending["error"] = self.connect_error()
        return json.dumps(ending).encode()

    def grpc_web_trailers(self) -> bytes:
        """gRPC-Web's end of a body: the status and the trailing metadata, as lines of HTTP/1.1."""
        lines = {"grpc-status": str(self.code.value[0])}
        if self.message:
            lines["grpc-message"] = quote(self.message, safe=_PLAIN)
        return "".join(
            f"{name}: {value}\r\n" for name, value in (*lines.items(), *self.metadata(details=True))
        ).encode("ascii")


_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What a message of gRPC's need not encode."""


def enveloped(flags: int, data: bytes) -> bytes:
    """A message in its envelope."""
    return ENVELOPE.pack(flags, len(data)) + data


def _connect_code(code: grpc.StatusCode) -> str:
    return "canceled" if code is grpc.StatusCode.CANCELLED else code.name.lower()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _detail(packed: Any) -> dict[str, Any]:
    name = packed.TypeName()
    message: Message = message_factory.GetMessageClass(
        descriptor_pool.Default().FindMessageTypeByName(name)
    )()
    packed.Unpack(message)
    return {"type": name, "value": _base64(packed.value), "debug": json_format.MessageToDict(message)}
