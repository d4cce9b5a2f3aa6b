"""HTTP/2 by hand, for frames that no client would send."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8
ACK = 0x1
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


class Sender:
    """Sends messages that never end, as fast as the other side takes them: a caller who keeps the protocol.

    Args:
        address: `host:port`.
        message_bytes: What each message says that its size is.
        sent_bytes: What is sent of each at most.
    """

    def __init__(self, address: str, *, message_bytes: int, sent_bytes: int) -> None:
        self._connection = connect(address)
        self._message_bytes = message_bytes
        self._sent_bytes = sent_bytes
        self._window = 65_535
        self._initial_window = 65_535
        self._windows: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._received = bytearray()
        self.ended: set[int] = set()
        """The streams that the other side has ended."""
        self._connection.sendall(PREFACE + settings())

    @property
    def sent(self) -> int:
        """Bytes that the other side has taken of all messages."""
        return sum(self._sent_bytes - left for left in self._left.values())

    def begin(self, stream: int, **how: Any) -> None:
        """Send the headers of a call and the length of its message."""
        whole = call(stream, b"", ends=False, **how)
        headers = whole[: -len(frame(DATA, 0, stream, bytes(5)))]
        prefix = b"\0" + struct.pack(">I", self._message_bytes)
        self._connection.sendall(headers + frame(DATA, 0, stream, prefix))
        self._window -= len(prefix)
        self._windows[stream] = self._initial_window - len(prefix)
        self._left[stream] = self._sent_bytes

    def push(self, seconds: float) -> None:
        """Send what may be sent and read what comes, for a time."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            for stream in self._left.keys() - self.ended:
                size = min(16_384, self._window, self._windows[stream], self._left[stream])
                if size > 0:
                    self._connection.sendall(frame(DATA, 0, stream, bytes(size)))
                    self._window -= size
                    self._windows[stream] -= size
                    self._left[stream] -= size
            self._connection.settimeout(max(0.001, min(0.02, end - now)))
            with suppress(TimeoutError):
                self._read(self._connection.recv(2**20))
            self._connection.settimeout(60)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _read(self, data: bytes) -> None:
        assert data, "the other side hung up"
        self._received += data
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            payload = bytes(self._received[9 : 9 + size])
            del self._received[: 9 + size]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            values = dict(struct.iter_unpack(">HI", payload))
            initial = values.get(INITIAL_WINDOW_SIZE, self._initial_window)
            for each in self._windows:
                self._windows[each] += initial - self._initial_window
            self._initial_window = initial
            self._connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack(">I", payload)
            if stream:
                self._windows[stream] = self._windows.get(stream, 0) + more
            else:
                self._window += more
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self.ended.add(stream)


class Caller:
    """One connection on which many calls are made at once, cheaply for whoever makes them.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._connection = connect(address)
        self._next = 1
        self._received = bytearray()
        window = struct.pack(">I", 2**31 - 1 - 65_535)
        self._connection.sendall(PREFACE + settings() + frame(WINDOW_UPDATE, 0, 0, window))

    def calls(self, count: int, message: bytes, **how: Any) -> None:
        """Make so many calls at once, and wait until all of them have ended."""
        numbers = range(self._next, self._next + 2 * count, 2)
        self._next += 2 * count
        self._connection.sendall(b"".join(call(number, message, **how) for number in numbers))
        left = set(numbers)
        while left:
            left -= self._ended()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ended(self) -> set[int]:
        """Read what has come: the streams that have ended."""
        data = self._connection.recv(2**20)
        assert data, "the other side hung up"
        self._received += data
        ended, at = set(), 0
        while len(self._received) - at >= 9:
            size = int.from_bytes(self._received[at : at + 3], "big")
            if len(self._received) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._received, at + 3)
            if kind == PING and not flags & ACK:
                self._connection.sendall(frame(PING, ACK, 0, bytes(self._received[at + 9 : at + 9 + size])))
            elif kind == SETTINGS and not flags & ACK:
                self._connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM):
                ended.add(stream)
            assert kind != GOAWAY, "the other side ends the connection"
            at += 9 + size
        del self._received[:at]
        return ended
