"""Bytes that are no gRPC: on thousands of connections, as another protocol, cut off, of the wrong length."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.conftest import Unharmed
from tests.support import http2
from tests.support.gateway_process import GatewayProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GARBAGE_CONNECTIONS = 10_000
AT_THE_SAME_TIME = 16
GOOD_CALL = http2.call(1, b"\x0a\x07faces64")


def throw(address: str, payloads: Iterable[bytes]) -> None:
    """Send each of these on a connection of its own, look at what comes back, and hang up."""

    def one(payload: bytes) -> None:
        with http2.connect(address) as connection:
            try:
                connection.sendall(payload)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass  # hung up on, which is an answer too

    with ThreadPoolExecutor(AT_THE_SAME_TIME) as pool:
        for _ in pool.map(one, payloads):
            pass


def test_thousands_of_connections_with_garbage(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    numbers = random.Random(1)
    payloads = [numbers.randbytes(numbers.randrange(1, 600)) for _ in range(GARBAGE_CONNECTIONS // 2)]
    unharmed_by(lambda: throw(gateway.address, payloads))  # twice


def test_garbage_on_the_http_port(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    numbers = random.Random(2)
    payloads = [numbers.randbytes(300) for _ in range(200)]
    payloads += [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nX: " + b"b" * 20_000,
    ]
    unharmed_by(lambda: throw(gateway.http.removeprefix("http://"), payloads))


def test_http1_on_the_grpc_port(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    requests = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST " + http2.SYNTHESIZE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
        b"PRI * HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(508),  # TLS says hello
    ]
    unharmed_by(lambda: throw(gateway.address, requests * 100))


def truncated() -> list[bytes]:
    whole = http2.PREFACE + http2.settings() + GOOD_CALL
    return [whole[:cut] for cut in range(1, len(whole))]


def of_wrong_lengths() -> list[bytes]:
    start = http2.PREFACE + http2.settings()
    claims = (0, 1, 3, 4, 5, 7, 8, 16_384, 16_385, 2**24 - 1)
    kinds = range(12)
    frames = [
        start + http2.frame(kind, flags, stream, b"\xaa" * 8, length=claim)
        for kind in kinds
        for claim in claims
        for flags, stream in ((0, 0), (0xFF, 1), (http2.END_HEADERS, 3))
    ]
    # gRPC's own frame inside of DATA claims another size, or says that it is compressed.
    for prefix in (
        struct.pack(">BI", 0, 2**32 - 1),
        struct.pack(">BI", 0, 1),
        struct.pack(">BI", 1, 9),
        b"\xff" * 5,
    ):
        call = http2.call(1, b"\x0a\x07faces64")
        frames.append(start + call[:-14] + prefix + call[-9:])
    return frames


def with_bad_headers() -> list[bytes]:
    start = http2.PREFACE + http2.settings()
    blocks = (
        b"\xff" * 50,
        b"\x80",
        b"\x00\x7f\xff\xff\xff\xff\x0f",
        b"\x3f\xe1\xff\xff\xff\x0f",
        bytes(16_000),
    )
    floods = [start + http2.frame(http2.HEADERS, 0, 1) + http2.frame(http2.CONTINUATION, 0, 1) * 5000]
    floods += [start + http2.settings({}) * 5000, start + http2.frame(http2.PING, 0, 0, bytes(8)) * 5000]
    floods += [start + http2.frame(http2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 100]
    return [start + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, block) for block in blocks] + floods


@pytest.mark.parametrize("payloads", [truncated, of_wrong_lengths, with_bad_headers])
def test_frames_that_are_wrong(
    gateway: GatewayProcess, unharmed_by: Unharmed, payloads: Callable[[], list[bytes]]
) -> None:
    unharmed_by(lambda: throw(gateway.address, payloads()))
