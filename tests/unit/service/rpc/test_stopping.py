"""Calls while the gateway stops: those in progress, those that come then, and those that nobody can hold."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock, PropertyMock

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from service.app.server import stop_server
from service.core.limits import CallLimits
from service.core.metrics import Metrics, Rpc
from service.rpc.admission import Kind
from service.rpc.call import Call
from service.rpc.calls import Calls
from service.rpc.status import DETAILS_TRAILER
from tests.support.promises import in_time

SERVICE = "tests.Service"
MAX_CONCURRENT = 4
STOPPING = "UNAVAILABLE UNAVAILABLE: This gateway is stopping."
CUT_OFF = "UNAVAILABLE UNAVAILABLE: This gateway is stopping, and the request was not done within the grace."


class Gateway:
    """A server with one method, whose calls end when `work` is set."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        self._arrived = asyncio.Semaphore(0)
        self.calls = Calls(Metrics(), CallLimits(concurrent_rpcs=MAX_CONCURRENT))
        self.server = grpc.aio.server()
        self.channel: grpc.aio.Channel
        handler = self.calls.handler(Rpc(SERVICE, "Work", "unary"), Kind.WORK, self._work)
        handler = grpc.stream_unary_rpc_method_handler(self._arriving(handler.stream_unary))
        handlers = grpc.method_handlers_generic_handler(SERVICE, {"Work": handler})
        self.server.add_generic_rpc_handlers((handlers,))

    def _arriving(self, handle: Any) -> Any:
        async def arriving(messages: Any, context: Any) -> Any:
            self._arrived.release()
            return await handle(messages, context)

        return arriving

    async def _work(self, call: Call) -> None:
        data = await call.channel.read()
        await self.work.wait()
        await call.send(data)

    def call(self) -> asyncio.Task[str]:
        """Call the method, and tell how that ended: `OK`, or status, our reason and the message."""

        async def outcome() -> str:
            work: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            work = self.channel.unary_unary(f"/{SERVICE}/Work")
            call = work(b"data", timeout=20)
            code = await call.code()
            if code is grpc.StatusCode.OK:
                return code.name
            trailer = dict(await call.trailing_metadata())
            info = error_details_pb2.ErrorInfo()
            if DETAILS_TRAILER in trailer:
                status_pb2.Status.FromString(trailer[DETAILS_TRAILER]).details[0].Unpack(info)
            return f"{code.name} {info.reason}: {await call.details()}"

        return asyncio.create_task(outcome())

    async def arrivals(self, count: int) -> None:
        """Wait until so many more calls have arrived."""
        for _ in range(count):
            await self._arrived.acquire()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    running = Gateway()
    port = running.server.add_insecure_port("127.0.0.1:0")
    await running.server.start()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as running.channel:
        yield running
    await running.server.stop(None)


async def test_a_call_in_progress_is_answered(gateway: Gateway) -> None:
    taken = gateway.call()
    await gateway.arrivals(1)
    stop = asyncio.create_task(stop_server(gateway.server, gateway.calls, 20))
    await asyncio.sleep(0)
    gateway.work.set()
    assert await taken == "OK"
    await stop


async def test_a_call_that_outlasts_the_grace_is_told_so(gateway: Gateway) -> None:
    taken = gateway.call()
    await gateway.arrivals(1)
    with in_time(0.5):
        await stop_server(gateway.server, gateway.calls, 0.5)
    assert await taken == CUT_OFF


async def test_a_stop_with_nothing_to_do_takes_as_long_as_calls_are_held(gateway: Gateway) -> None:
    with in_time(0.35, at_least=0.3):
        await stop_server(gateway.server, gateway.calls, 600)


async def test_new_calls_are_held_until_none_has_come_for_a_while(gateway: Gateway) -> None:
    stop = asyncio.create_task(stop_server(gateway.server, gateway.calls, 600))
    held = []
    for _ in range(3):  # each before the others would have been refused
        await asyncio.sleep(0.2)
        held.append(gateway.call())
        await gateway.arrivals(1)
    assert not any(call.done() for call in held)
    assert [await call for call in held] == [STOPPING] * 3
    await stop


async def test_callers_who_never_rest_do_not_hold_up_a_stop(gateway: Gateway) -> None:
    gateway.calls = Mock(spec=Calls)
    type(gateway.calls).held = PropertyMock(side_effect=itertools.count())
    with in_time(1.55, at_least=1.5):
        await stop_server(gateway.server, gateway.calls, 600)


async def test_a_new_call_is_held_until_the_connection_is_closed(gateway: Gateway) -> None:
    gateway.calls.stop(grace_seconds=20)
    held = gateway.call()
    await gateway.arrivals(1)
    assert not held.done()
    gateway.calls.refuse_held()
    assert await held == STOPPING
    assert await gateway.call() == STOPPING


async def test_no_more_are_held_than_may_be_in_progress(gateway: Gateway) -> None:
    gateway.calls.stop(grace_seconds=20)
    held = [gateway.call() for _ in range(MAX_CONCURRENT)]
    await gateway.arrivals(MAX_CONCURRENT)
    assert await gateway.call() == STOPPING
    assert not any(call.done() for call in held)
    gateway.calls.refuse_held()
    assert set(await asyncio.gather(*held)) == {STOPPING}


async def test_who_calls_without_a_pause_is_never_told_cancelled(gateway: Gateway) -> None:
    """The caller's next call is on its way when gRPC shuts down, in one connection and as fast as can be."""
    gateway.work.set()
    outcomes: list[str] = []

    async def go_on() -> None:
        while not outcomes or outcomes[-1] == "OK":
            outcomes.append(await gateway.call())

    callers = [asyncio.create_task(go_on()) for _ in range(2)]
    await gateway.arrivals(50)
    await stop_server(gateway.server, gateway.calls, 20)
    await asyncio.gather(*callers)
    assert set(outcomes) == {"OK", STOPPING}
