"""The HTTP port: pages that cost the event loop nothing, and bounds of what whoever reaches it can hold."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise

import aiohttp
import pytest

from service.app import http
from service.app.http import MAX_SCRAPES, http_server
from service.core.metrics import Metrics
from service.engine.base import StageTiming
from service.synthesis.work import Timings
from tests.support.promises import in_time

STAGES = 300


@asynccontextmanager
async def serving(metrics: Metrics | None = None, max_connections: int = 64) -> AsyncIterator[int]:
    async with http_server(
        "127.0.0.1",
        0,
        metrics=metrics or Metrics(),
        is_ready=lambda: True,
        max_connections=max_connections,
    ) as port:
        yield port


async def page(port: int, path: str = "/metrics") -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as reply:
        return reply.status, await reply.read()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_large_page_of_metrics_is_made_beside_the_event_loop() -> None:
    metrics = Metrics()
    for number in range(STAGES):
        stage = StageTiming(f"stage_{number}", queue_seconds=0.001, compute_seconds=0.002, cached=False)
        metrics.image("faces64", None, Timings(stages=[stage]), first=False)
    async with serving(metrics) as port:
        turns: list[float] = []

        async def turn() -> None:
            while True:
                turns.append(time.thread_time())
                await asyncio.sleep(0)

        gc.collect()
        gc.disable()  # it would look through what all tests have made, on whatever thread it is
        try:
            turning = asyncio.create_task(turn())
            status, body = await page(port)
            turning.cancel()
            # The longest time that the loop's thread worked between two turns, against all of the page.
            longest = max(after - before for before, after in pairwise(turns))
            began = time.thread_time()
            metrics.render()
            whole = time.thread_time() - began
        finally:
            gc.enable()
    assert status == 200
    assert body.count(b"\n") > 2 * STAGES * 20
    assert longest < whole / 3


async def test_pages_are_made_one_at_a_time_and_the_rest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, made, most, go_on = Metrics(), 0, 0, asyncio.Event()

    async def make(accept: str) -> tuple[bytes, str]:
        nonlocal made, most
        made += 1
        most = max(most, made)
        await go_on.wait()
        made -= 1
        return accept.encode(), "text/plain"

    monkeypatch.setattr(metrics, "page_in_background", make)
    async with serving(metrics) as port:
        asked = [asyncio.create_task(page(port)) for _ in range(MAX_SCRAPES + 4)]
        while len(refused := [each for each in asked if each.done()]) < 4:
            await asyncio.wait(set(asked) - set(refused), return_when=asyncio.FIRST_COMPLETED)
        assert {each.result()[0] for each in refused} == {503}
        assert await page(port, "/livez") == (200, b"ok\n")
        go_on.set()
        statuses = sorted([(await each)[0] for each in asked])
    assert statuses == [200] * MAX_SCRAPES + [503] * 4
    assert most == 1


async def test_one_connection_too_many_takes_the_place_of_the_oldest_that_is_idle() -> None:
    """Whoever comes to look gets in, however many hold connections and say nothing."""
    async with serving(max_connections=16) as port, AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(port)) for _ in range(48)]
        assert await page(port, "/healthz") == (200, b"ok\n")
        for reader, _ in held[:32]:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)


async def test_requests_in_progress_keep_their_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, begun, go_on = Metrics(), asyncio.Event(), asyncio.Event()

    async def make(_: str) -> tuple[bytes, str]:
        begun.set()
        await go_on.wait()
        return b"made", "text/plain"

    monkeypatch.setattr(metrics, "page_in_background", make)
    async with serving(metrics, max_connections=1) as port, connected(port) as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        with pytest.raises(aiohttp.ClientError):
            await page(port, "/livez")
        go_on.set()
        assert b"200 OK" in await reader.readline()
        assert (await reader.readuntil(b"made")).endswith(b"made")
        assert await page(port, "/livez") == (200, b"ok\n")


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTT", b"GET /healthz HTTP/1.1\r\nX: "])
async def test_who_never_ends_a_request_is_let_go(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(http, "SILENT_SECONDS", 0.3)
    async with serving() as port, connected(port) as (reader, writer):
        with in_time(0.3):

            async def trickle() -> None:
                for byte in sent * 1000:
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(0.05)

            trickling = asyncio.create_task(trickle())
            with suppress(ConnectionError):
                assert not await reader.read()
            trickling.cancel()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nX: " + b"b" * 100_000 + b"\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + b"b" * 1_000_000,
    ],
    ids=["long path", "many headers", "long header", "body"],
)
async def test_what_nobody_asks_for_is_refused(request_: bytes) -> None:
    async with serving() as port:
        async with connected(port) as (reader, writer):
            writer.write(request_)
            assert (await reader.readline()).split()[1] in {b"400", b"405", b"414", b"431"}
        assert await page(port, "/healthz") == (200, b"ok\n")
