"""HTTP/2 by hand, for frames that no client would send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x3, 0x4
CANCEL = 0x8

SYNTHESIZE = "/maskweave.v1.SynthesisService/Synthesize"
SYNTHESIZE_STREAM = SYNTHESIZE + "Stream"
PAINT = "/maskweave.v1.SynthesisService/Paint"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One frame; `length` is what its header claims when that is not the truth."""
    claimed = len(payload) if length is None else length
    return struct.pack(">I", claimed)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in (values or {}).items()))


def _field(name: str, value: str) -> bytes:
    """A header field in HPACK: literal, not indexed, not compressed."""
    return b"\0" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + data


def call(
    stream: int,
    message: bytes,
    *,
    path: str = SYNTHESIZE,
    extra: Iterable[tuple[str, str]] = (),
    ends: bool = True,
) -> bytes:
    """A whole gRPC call: headers and one message, which fits into one frame. More may come unless it ends."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "127.0.0.1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *extra,
    )
    headers = frame(HEADERS, END_HEADERS, stream, b"".join(_field(*each) for each in fields))
    body = b"\0" + struct.pack(">I", len(message)) + message
    return headers + frame(DATA, END_STREAM if ends else 0, stream, body)


def reset(stream: int) -> bytes:
    """A RST_STREAM frame that cancels a call."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def read_settings(connection: socket.socket) -> dict[int, int]:
    """The values of the SETTINGS frame with which the other side begins."""
    with connection.makefile("rb") as stream:
        head = stream.read(9)
        assert head[3] == SETTINGS, head
        return dict(struct.iter_unpack(">HI", stream.read(int.from_bytes(head[:3], "big"))))


def wait_for_hang_up(connection: socket.socket) -> None:
    """Read until the other side closes the connection, which it must before the connection's timeout."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass  # closed without ceremony


def connect(address: str, timeout: float = 60.0) -> socket.socket:
    """A TCP connection to `host:port`."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)
