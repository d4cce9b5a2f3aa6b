"""HTTP/1.1 and WebSockets spoken by those who mean no good: what they can hold, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import select
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler

from maskweave.v1 import synthesis_pb2 as pb
from service.access.keys import Keys
from service.app import http, http_heads
from service.app.http import http_server
from service.app.http_heads import MAX_HEADERS
from service.core.metrics import Metrics
from service.rpc.access import Access
from service.rpc.interceptors import Authentication
from service.rpc.web import endpoint
from service.rpc.web.origins import Origins
from service.rpc.web.protocols import enveloped
from service.rpc.web.socket_channel import MAX_CLOSING, SUBPROTOCOL
from tests.support.fake_engine import FakeEngine
from tests.support.key_file import new_key
from tests.support.promises import in_time
from tests.support.service_stack import service_on
from tests.support.web_stack import path_of, web_server

MIB = 2**20
LABEL_MAP = pb.LabelMap(raw=pb.RawLabelMap(data=b"\0\4\4\0", width=2, height=2))
START = pb.PaintRequest(start=pb.PaintStart(model="tiny", label_map=LABEL_MAP, seed=7))
BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA
ASKED_FOR_METRICS = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
# A loopback's segments are so large that the system would keep megabytes of what nobody reads.
SMALL_SEGMENTS = 536
SMALL_WINDOW = 4096


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def head(kind: int, size: int, *, last: bool = True) -> bytes:
    """The beginning of a client's frame, with a mask that changes nothing."""
    lengths = bytes((0x80 | size,)) if size < 126 else struct.pack(">BQ", 0x80 | 127, size)
    return bytes((0x80 * last | kind,)) + lengths + bytes(4)


def asked(*subprotocols: str) -> bytes:
    """A request for a WebSocket."""
    offers = "".join(f"Sec-WebSocket-Protocol: {each}\r\n" for each in subprotocols)
    return (
        f"GET {path_of('Paint')} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{offers}\r\n"
    ).encode()


@contextmanager
def slow_reader(port: int) -> Iterator[socket.socket]:
    """A connection that takes in nothing but what the system does."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENTS)
        opened.connect(("127.0.0.1", port))
        opened.setblocking(False)
        yield opened


async def sent(opened: socket.socket, data: bytes, seconds: float) -> int:
    """Send for so long, or until the other end is gone; tells how much it took."""
    taken = 0
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(seconds):
            while taken < len(data):
                try:
                    taken += opened.send(data[taken : taken + 65536])
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0)
    return taken


def is_gone(opened: socket.socket) -> bool:
    """Whether the other end has broken a connection off, however much of it has not been read."""
    poll = select.poll()
    poll.register(opened, select.POLLERR | select.POLLHUP)
    return bool(poll.poll(0))


async def until_gone(*opened: socket.socket, how_many: int = 1) -> None:
    while sum(map(is_gone, opened)) < how_many:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.02)


@asynccontextmanager
async def socket_to(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket that has been opened."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    try:
        writer.write(asked(SUBPROTOCOL))
        assert b"101" in await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of the service."""
    kind, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    return kind & 0xF, await reader.readexactly(size)


@asynccontextmanager
async def locked(**options: Any) -> AsyncIterator[str]:
    """A server that asks for keys."""
    access = Access(Keys([new_key()[1]]))
    stack = service_on(FakeEngine(), access=access)
    guard = Authentication(access, (), stack.calls.refusal)
    async with web_server(stack, interceptors=[guard], max_bytes=16 * MIB, **options) as url:
        yield url


async def test_a_socket_without_a_key_has_nothing_taken_in_and_is_closed_within_a_second() -> None:
    async with locked() as url:
        with socket.socket() as opened, in_time(1):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            opened.connect(("127.0.0.1", port_of(url)))
            opened.setblocking(False)
            data = asked(SUBPROTOCOL) + head(PING, 0) * 100 + head(BINARY, 8 * MIB) + bytes(8 * MIB)
            assert await sent(opened, data, 60) < 2 * MIB  # what the systems of both ends hold
            await until_gone(opened)
        async with socket_to(url) as (reader, _):
            _, told = await frame(reader)
            assert json.loads(told)["error"]["code"] == "unauthenticated"
            assert await frame(reader) == (CLOSE, struct.pack(">H", 1000))


async def test_of_sockets_that_are_over_few_are_read() -> None:
    """Each would hold a message that is not there yet for as long as it takes to close."""
    async with (
        web_server(service_on(FakeEngine()), max_bytes=16 * MIB) as url,
        contextlib.AsyncExitStack() as stack,
    ):
        opened = [await stack.enter_async_context(socket_to(url)) for _ in range(2 * MAX_CLOSING)]
        for _, writer in opened:
            writer.write(
                head(BINARY, 0) + head(BINARY, 8 * MIB) + bytes(8 * MIB)
            )  # no message, and half of one
        await asyncio.sleep(0.5)
        left = [writer.transport.get_write_buffer_size() for _, writer in opened]
        assert sum(size > 4 * MIB for size in left) >= MAX_CLOSING
        for _, writer in opened:
            writer.transport.abort()


async def test_floods_of_pings_take_turns_with_others() -> None:
    pings = 4000
    async with web_server(service_on(FakeEngine())) as url, socket_to(url) as (reader, writer):
        data = START.SerializeToString()
        writer.write(head(BINARY, len(data)) + data)
        while (await frame(reader))[0] != BINARY:
            pass
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        writer.write(head(PING, 1) + b"x" + (head(PING, 0) + head(PONG, 0)) * (pings // 2))
        for _ in range(1 + pings // 2):
            assert (await frame(reader))[0] == PONG
        turning.cancel()
        assert turns > pings * 0.9
        writer.write(head(PING, 2) + b"on")
        assert await frame(reader) == (PONG, b"on")


async def test_frames_that_are_never_ended_are_bounded_together() -> None:
    async with web_server(service_on(FakeEngine())) as url, socket_to(url) as (reader, writer):
        writer.write(head(BINARY, 65536, last=False) + bytes(65536))
        part = head(0, 65536, last=False) + bytes(65536)
        for _ in range(8):
            writer.write(part)
        while (received := await frame(reader))[0] == PING:
            pass
        assert received == (CLOSE, struct.pack(">H", 1009))


@pytest.mark.parametrize(
    "sent_", [head(BINARY, 2**62), bytes((0xC2, 0x80)) + bytes(4), head(0x3, 0), head(PING, 0, last=False)]
)
async def test_frames_that_are_wrong_end_the_socket(sent_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Too large, compressed though nobody agreed on it, of no known kind, a part of what has no parts."""
    async with web_server(service_on(FakeEngine())) as url, socket_to(url) as (reader, writer):
        writer.write(sent_)
        while (received := await frame(reader))[0] != CLOSE:
            pass
        assert struct.unpack(">H", received[1])[0] in (1002, 1009)
    assert not caplog.records


async def test_subprotocols_that_aiohttp_does_not_read_write_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with locked() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(asked("other", SUBPROTOCOL))
        assert b"400" in await reader.readline()
        writer.close()
    assert not caplog.records


@pytest.mark.parametrize("origins", [Origins(), Origins.parse(["*"])], ids=["own", "any"])
async def test_an_origin_that_is_no_text_is_refused(
    origins: Origins, caplog: pytest.LogCaptureFixture
) -> None:
    """It could not be written into the reply, which wrote a stack trace into the log, key or not."""
    async with web_server(service_on(FakeEngine()), origins=origins) as url:
        for method in (b"POST", b"OPTIONS", b"GET"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            path = path_of("ListModels").encode()
            writer.write(method + b" " + path + b" HTTP/1.1\r\nHost: \xff.x\r\nOrigin: http://\xff.x\r\n\r\n")
            assert b"403" in await reader.readline()
            writer.close()
    assert not caplog.records


async def test_who_does_not_take_in_how_a_call_ended_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is over has no deadline any more, and its connection would never count as idle."""
    monkeypatch.setattr(endpoint, "END_SECONDS", 0.3)
    body = enveloped(0, b"")
    request = (
        f"POST {path_of('GetModel')} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    async with locked() as url:
        with slow_reader(port_of(url)) as opened, in_time(0.3):
            sending = asyncio.create_task(sent(opened, request * 4000, 60))
            await until_gone(opened)
            sending.cancel()


@pytest.fixture
def large_page(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    """Metrics whose page the system alone does not hold for a slow reader."""
    metrics = Metrics()

    async def make(_: str) -> tuple[bytes, str]:
        return bytes(MIB), "text/plain"

    monkeypatch.setattr(metrics, "page_in_background", make)
    return metrics


def held(port: int) -> int:
    """Sockets of a server of this process, besides the one that listens.

    What has been let go is not told to those who read nothing, and other tests may have left descriptors.
    """
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    of_server = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since it was listed
            targets.append(str(descriptor.readlink()))
    return sum(target in of_server for target in targets) - 1


async def until_held(port: int, *numbers: int) -> None:
    while held(port) not in numbers:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.02)


def request_of(size: int, headers: int) -> bytes:
    """A request with so many headers of so many bytes."""
    lines = "".join(f"x-{number}: {'v' * size}\r\n" for number in range(headers))
    return f"GET /livez HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


async def test_requests_that_wait_for_an_earlier_one_are_not_read(large_page: Metrics) -> None:
    """They would be kept, each with a megabyte of headers, while the page of the first is not read."""
    async with http_server("127.0.0.1", 0, metrics=large_page, is_ready=lambda: True) as port:
        with slow_reader(port) as opened:
            opened.send(ASKED_FOR_METRICS)
            await asyncio.sleep(0.1)
            await sent(opened, request_of(1000, 60) * 100, 0.5)
            waiting = [
                len(each._messages)
                for each in gc.get_objects()
                if type(each) is RequestHandler and each.connected
            ]
            assert 2 <= sum(waiting) < 10  # those of one look at the system's buffer


async def test_a_head_is_bounded_as_a_whole() -> None:
    async with http_server("127.0.0.1", 0, metrics=Metrics(), is_ready=lambda: True) as port:
        for size, headers, answer in ((8000, 7, b"200"), (8000, 20, b"400"), (10, MAX_HEADERS, b"400")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = request_of(size, headers)
            for start in range(0, len(whole), 20_000):
                if reader.at_eof() or reader._buffer:  # type: ignore[attr-defined]
                    break
                writer.write(whole[start : start + 20_000])
                await asyncio.sleep(0.02)
            assert answer in await reader.readline(), (size, headers)
            writer.close()


@pytest.mark.parametrize(
    "piece",
    [b"x-a: " + b"v" * 8000 + b"\r\n", b"0" * 8000, b";" + b"v" * 8000],
    ids=["trailers", "size", "extension"],
)
async def test_what_comes_between_parts_of_a_body_is_bounded_as_a_whole(piece: bytes) -> None:
    loop = asyncio.get_running_loop()
    parser = http_heads._Bounded(HttpRequestParser(BaseProtocol(loop), loop, 2**16))
    parser.feed_data(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(30):
        parser.feed_data(b"1\r\na\r\n")  # a body may be as long as whoever reads it allows
    parser.feed_data(b"0\r\n" if piece.startswith(b"x") else b"1")
    with pytest.raises(BadHttpMessage):
        parser.feed_data(piece * (http_heads.MAX_HEAD_BYTES // len(piece) + 1))


async def test_who_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch, large_page: Metrics) -> None:
    monkeypatch.setattr(http, "UNREAD_SECONDS", 0.5)
    async with http_server("127.0.0.1", 0, metrics=large_page, is_ready=lambda: True) as port:
        with slow_reader(port) as opened:
            await until_held(port, 1)
            with in_time(0.5):
                opened.send(ASKED_FOR_METRICS)
                await until_held(port, 0)


async def test_connections_that_are_closed_and_not_read_make_room(
    monkeypatch: pytest.MonkeyPatch, large_page: Metrics
) -> None:
    """They are closed for aiohttp, which counts them no more, and open for the system: until all is read."""
    monkeypatch.setattr(http, "SILENT_SECONDS", 0.1)
    # Of some of them more is left than the system holds, and less than aiohttp waits for.
    sizes = iter(range(40_000, 200_000, 8_000))

    async def make(_: str) -> tuple[bytes, str]:
        return bytes(next(sizes)), "text/plain"

    monkeypatch.setattr(large_page, "page_in_background", make)
    async with http_server(
        "127.0.0.1", 0, metrics=large_page, is_ready=lambda: True, max_connections=2
    ) as port:
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(slow_reader(port)).send(ASKED_FOR_METRICS)
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            with slow_reader(port):
                await until_held(port, 0, 1, 2)


HEADERS = [
    "Host: localhost",
    "Host:",
    "Content-Type: application/json",
    "Content-Type: application/grpc-web",
    "Content-Type: ;;",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Content-Encoding: gzip",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
    "Sec-WebSocket-Protocol: bearer.!!",
    "Connect-Timeout-Ms: 5",
    "Expect: 100-continue",
    "Origin: null",
]
PATHS = [path_of("Paint"), path_of("GetModel"), path_of("SynthesizeStream"), path_of("%ff"), "/", "*", "//x"]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"{}{}", b"fffffffffff\r\n", enveloped(0, b"")]


def any_request(random: Random) -> bytes:
    """A request whose parts go together by chance."""
    verb = random.choice(["GET", "POST", "OPTIONS", "HEAD", "CONNECT", "PRI"])
    headers = "".join(f"{each}\r\n" for each in random.choices(HEADERS, k=random.randrange(7)))
    line = f"{verb} {random.choice(PATHS)} HTTP/1.{random.choice('01')}\r\n"
    return f"{line}{headers}\r\n".encode() + random.choice(BODIES)


def any_frames(random: Random) -> bytes:
    """Frames of a WebSocket, of any kind and in any order, with messages of sessions among them."""
    update = pb.PaintRequest(update=pb.PaintUpdate(sequence=random.randrange(5)))
    frames = b""
    for _ in range(random.randrange(1, 6)):
        body = random.choice([b"", b"end", random.randbytes(125), START.SerializeToString()])
        body = random.choice([body, update.SerializeToString()])
        kind = random.choice([0, 0x1, BINARY, BINARY, CLOSE, PING, PONG, 0x3])
        frames += head(kind, len(body), last=random.random() < 0.8) + body
    return frames


async def test_whatever_is_sent_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    random, metrics = Random(5), Metrics()
    stack = service_on(FakeEngine(), metrics)
    async with web_server(stack) as url:
        before = asyncio.all_tasks()
        for number in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
            sent_ = any_request(random) if number % 3 else asked(SUBPROTOCOL) + any_frames(random)
            writer.write(sent_ if number % 10 else random.randbytes(200))
            with suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(reader.read(4096), random.choice([0.001, 0.01]))
            if number % 2:
                writer.transport.abort()
            else:
                writer.close()
        async with asyncio.timeout(60):
            while stack.calls.open_sessions or asyncio.all_tasks() - before:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
    reasons = {reason for line in metrics.render().decode().splitlines() if (reason := failed(line))}
    assert reasons <= {"INVALID_FIELD", "DEADLINE_EXCEEDED", "MESSAGE_TOO_LARGE"}
    assert {record.getMessage() for record in caplog.records} <= {"call"}


def failed(line: str) -> str:
    """The reason of failures that a line of the metrics counts."""
    name, _, count = line.partition(" ")
    return (
        name.partition('reason="')[2].partition('"')[0]
        if "failures_total{" in name and count != "0.0"
        else ""
    )
