"""Calls whose request does not come: bounded in number and time, and no burden to others."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.core.limits import CallLimits
from service.core.metrics import Metrics
from service.rpc.admission import PendingMessages
from service.rpc.interceptors import SERVICE_NAME, RequestIds
from tests.support.fake_engine import FakeEngine
from tests.support.promises import in_time
from tests.support.service_stack import ServiceStack, service_on

REQUEST = pb.SynthesizeRequest(
    model="tiny", label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))
).SerializeToString()
MAP_OF_25 = pb.LabelMap(raw=pb.RawLabelMap(data=bytes(25), width=5, height=5))
SYNTHESIZE = f"/{SERVICE_NAME}/Synthesize"
STREAM = f"/{SERVICE_NAME}/SynthesizeStream"
LIST_MODELS = f"/{SERVICE_NAME}/ListModels"
PAINT = f"/{SERVICE_NAME}/Paint"


@asynccontextmanager
async def gateway(
    limits: CallLimits, metrics: Metrics | None = None, engine: FakeEngine | None = None
) -> AsyncIterator[tuple[grpc.aio.Channel, ServiceStack]]:
    stack = service_on(engine or FakeEngine(), metrics, call_limits=limits)
    server = grpc.aio.server(interceptors=(RequestIds(),))
    stack.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield channel, stack
    await server.stop(None)


def opened(channel: grpc.aio.Channel, path: str) -> Any:
    """A call that has sent its headers and nothing else."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    return method(timeout=30)


async def arrived(stack: ServiceStack, calls: int) -> None:
    """Wait until so many calls are in progress."""
    for _ in range(2000):
        if stack.calls._admission.in_progress >= calls:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the calls have not arrived")


@pytest.mark.parametrize("path", [SYNTHESIZE, STREAM, LIST_MODELS])
async def test_a_call_that_ends_without_a_message_is_told_so(path: str) -> None:
    metrics = Metrics()
    async with gateway(CallLimits(), metrics) as (channel, _):
        call = opened(channel, path)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "got no message" in await call.details()
    assert b'grpc_code="InvalidArgument"' in metrics.render()


@pytest.mark.parametrize("path", [SYNTHESIZE, STREAM, LIST_MODELS])
async def test_a_call_whose_message_never_comes_ends_in_time_and_is_counted(path: str) -> None:
    metrics = Metrics()
    async with gateway(CallLimits(message_seconds=0.2), metrics) as (channel, _):
        call = opened(channel, path)
        with in_time(0.2):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await call.details() == "The request has not arrived within 0.2 s."
    assert b'grpc_code="DeadlineExceeded"' in metrics.render()


async def test_a_call_without_a_message_is_in_progress_and_ends_with_the_grace() -> None:
    async with gateway(CallLimits()) as (channel, stack):
        silent = opened(channel, SYNTHESIZE)
        await arrived(stack, 1)
        stack.calls.stop(grace_seconds=0.1)
        stack.calls.refuse_held()
        assert await silent.code() is grpc.StatusCode.UNAVAILABLE


async def test_those_who_wait_for_a_place_are_not_read_and_those_of_others_are() -> None:
    """One caller keeps all of its places; what it sends beyond them is not taken in."""
    pending = PendingMessages(in_all=3, per_caller=2)
    held = [pending.place("a") for _ in range(2)]
    for place in held:
        await place.__aenter__()
    beyond, late = pending.place("a"), pending.place("c")
    third = asyncio.create_task(beyond.__aenter__())
    other = pending.place("b")
    await asyncio.wait_for(other.__aenter__(), 5)
    assert not third.done()
    last = asyncio.create_task(late.__aenter__())
    await asyncio.sleep(0)
    assert not last.done()
    await other.__aexit__(None, None, None)
    await asyncio.wait_for(last, 5)
    await held[0].__aexit__(None, None, None)
    await asyncio.wait_for(third, 5)
    assert set(pending._callers) == {"a", "c"}


async def test_a_wait_for_a_place_that_is_cancelled_takes_none() -> None:
    pending = PendingMessages(in_all=1, per_caller=1)
    async with pending.place("a"):
        waiting = asyncio.create_task(pending.place("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
    assert not pending._callers
    async with pending.place("b"):
        pass


async def test_a_session_holds_its_canvas_and_what_waits_for_a_frame() -> None:
    start = pb.PaintStart(model="tiny", seed=1, label_map=MAP_OF_25)
    stroke = pb.Stroke(class_id=4, width=1, points=[pb.Point(x=0.5, y=0.5)])
    update = pb.PaintUpdate(sequence=1, strokes=pb.StrokeList(strokes=[stroke]))
    async with gateway(CallLimits()) as (channel, stack):
        memory = stack.calls._admission.memory
        session = opened(channel, PAINT)
        for request in (pb.PaintRequest(start=start), pb.PaintRequest(update=update)):
            await session.write(request.SerializeToString())
            assert await session.read()
            await until(lambda: memory.taken == 25)  # a byte a pixel
        session.cancel()
        await until(lambda: memory.taken == 0)


async def test_a_session_keeps_no_message_once_its_frame_is_there() -> None:
    """Neither the one that it began with, nor its latest; not with a latent, either."""
    latent = pb.Latent(values=[0.5] * 3)
    start = pb.PaintStart(model="tiny", latent=latent, label_map=MAP_OF_25)
    updates = pb.PaintUpdate(sequence=1, label_map=MAP_OF_25), pb.PaintUpdate(sequence=2, latent=latent)
    sent = [pb.PaintRequest(start=start), *(pb.PaintRequest(update=update) for update in updates)]
    data = [request.SerializeToString() for request in sent]
    before = messages_alive()
    async with gateway(CallLimits()) as (channel, _):
        session = opened(channel, PAINT)
        for each in data:
            await session.write(each)
            assert await session.read()
        await until(lambda: messages_alive() <= before)
        session.cancel()


def messages_alive() -> int:
    """Messages of `Paint` that somebody holds."""
    return sum(type(each) is pb.PaintRequest for each in gc.get_objects())


BAD_PNG = pb.SynthesizeRequest(model="tiny", label_map=pb.LabelMap(png=b"none"))
NO_MODEL = pb.SynthesizeRequest(model="none", label_map=MAP_OF_25)
BAD_SEEDS = pb.SynthesizeRequest(model="tiny", label_map=MAP_OF_25, seeds=pb.SeedList(values=[1] * 99))
BAD_STYLE = pb.SynthesizeRequest(model="tiny", label_map=MAP_OF_25, styles={9: pb.Style(seed=1)})


@pytest.mark.parametrize("request_", [BAD_PNG, NO_MODEL, BAD_SEEDS, BAD_STYLE], ids=range(4))
@pytest.mark.parametrize("path", [SYNTHESIZE, STREAM])
async def test_calls_that_failed_keep_no_message(path: str, request_: pb.SynthesizeRequest) -> None:
    """Nobody collects garbage while large messages are few: a hundred of them took more than a gigabyte."""
    data = request_.SerializeToString()
    async with gateway(CallLimits()) as (channel, _):
        gc.collect()
        before = requests_alive()
        gc.disable()
        try:
            for _ in range(5):
                call = opened(channel, path)
                await call.write(data)
                await call.done_writing()
                assert await call.code() in {
                    grpc.StatusCode.INVALID_ARGUMENT,
                    grpc.StatusCode.NOT_FOUND,
                }
            await until(lambda: requests_alive() <= before)
        finally:
            gc.enable()


def requests_alive() -> int:
    """Requests of images that somebody holds, or nobody has collected."""
    return sum(type(each) is pb.SynthesizeRequest for each in gc.get_objects())


async def test_updates_of_which_nothing_is_kept_hold_nothing() -> None:
    """However many come while a frame is being made."""
    go_on = asyncio.Event()

    async def wait(_: object) -> None:
        await go_on.wait()

    begin = pb.PaintStart(model="tiny", seed=1, label_map=MAP_OF_25)
    start = pb.PaintRequest(start=begin).SerializeToString()
    metrics = Metrics()
    async with gateway(CallLimits(), metrics, FakeEngine(wait)) as (channel, stack):
        memory = stack.calls._admission.memory
        session = opened(channel, PAINT)
        await session.write(start)
        for sequence in range(1, 6):
            update = pb.PaintUpdate(sequence=sequence, seed=sequence)
            await session.write(pb.PaintRequest(update=update).SerializeToString())
        await until(lambda: received(metrics, "Paint") == 6)
        assert memory.taken == 16 * len(start)
        go_on.set()
        session.cancel()
        await until(lambda: memory.taken == 0)


def received(metrics: Metrics, method: str) -> float:
    """Messages of a method that have come."""
    start = "grpc_server_msg_received_total{"
    lines = metrics.render().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(start) and f'"{method}"' in line)


async def until(so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(2000):
        if so():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it has not become so")


async def test_models_are_told_while_all_places_for_work_are_taken() -> None:
    limits = CallLimits(concurrent_rpcs=1, sessions=2, sessions_per_caller=2)
    async with gateway(limits) as (channel, stack):
        work, sessions = opened(channel, SYNTHESIZE), [opened(channel, PAINT) for _ in range(2)]
        await arrived(stack, 3)
        unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(LIST_MODELS)
        assert len(pb.ListModelsResponse.FromString(await unary(b"", timeout=20)).models) == 1
        for path, told in ((SYNTHESIZE, "1 requests are in progress"), (PAINT, "2 sessions are open")):
            refused = opened(channel, path)
            assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert told in await refused.details()
        for call in (work, *sessions):
            call.cancel()
