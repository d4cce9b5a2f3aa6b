"""Places and memory are divided between callers: none takes all, and one who is alone gets most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument, Overloaded
from service.core.limits import CallLimits
from service.rpc.admission import Admission, Kind
from service.rpc.interceptors import SERVICE_NAME, RequestIds
from service.rpc.memory import RequestMemory, UnsentReplies
from tests.support.fake_engine import FakeEngine
from tests.support.service_stack import service_on

SYNTHESIZE = f"/{SERVICE_NAME}/Synthesize"
SMALL = pb.SynthesizeRequest(
    model="tiny", seed=1, label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))
).SerializeToString()


def taken_by(admission: Admission, kind: Kind, caller: str, held: ExitStack) -> int:
    """How many places a caller gets who takes as many as there are for it."""
    places = 0
    while True:
        try:
            held.enter_context(admission.admitted(kind, caller, None))
        except Overloaded:
            return places
        places += 1


@pytest.mark.parametrize("kind", [Kind.WORK, Kind.WATCH])
@given(limit=st.integers(2, 300), greedy=st.integers(1, 20))
def test_whoever_takes_what_they_can_leaves_places_to_others(kind: Kind, limit: int, greedy: int) -> None:
    admission = Admission(CallLimits(concurrent_rpcs=limit, watches=limit), None)
    with ExitStack() as held:
        shares = [taken_by(admission, kind, f"caller {number}", held) for number in range(greedy)]
        assert shares[0] >= limit // 2, "one who is alone gets most"
        left = limit - sum(shares)
        assert (left > 0) or greedy > 1, "one alone leaves something"
        if left:
            assert taken_by(admission, kind, "a modest one", held) >= 1
    with ExitStack() as held:
        assert taken_by(admission, kind, "later", held) == shares[0], "all have been given back"


def test_one_caller_has_no_more_than_its_sessions() -> None:
    admission = Admission(CallLimits(sessions=5, sessions_per_caller=3), None)
    with ExitStack() as held:
        assert [taken_by(admission, Kind.SESSION, caller, held) for caller in "abc"] == [3, 2, 0]
    assert admission.open_sessions == 0


def test_a_place_alone_is_given_to_whoever_comes() -> None:
    admission = Admission(CallLimits(concurrent_rpcs=1), None)
    for caller in ("a", "b"):
        with ExitStack() as held:
            assert taken_by(admission, Kind.WORK, caller, held) == 1


def test_looking_up_and_checking_have_no_such_bound() -> None:
    admission = Admission(CallLimits(concurrent_rpcs=1), None)
    with ExitStack() as held:
        for kind in (Kind.LOOKUP, Kind.CHECK):
            for _ in range(10):
                held.enter_context(admission.admitted(kind, "a", None))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 400)), max_size=60))
def test_memory_is_never_given_beyond_its_bound_and_all_comes_back(asked: list[tuple[str, int]]) -> None:
    memory = RequestMemory(1000)
    by_caller = dict.fromkeys("abc", 0)
    with ExitStack() as calls:
        for caller, size in asked:
            held = calls.enter_context(memory.held(caller))
            try:
                held.take(size)
            except Overloaded:
                free = 1000 - memory.taken
                mine = by_caller[caller]
                assert mine + size > 3 * (free - size) if mine else size > free
                assert held.size == 0
                continue
            by_caller[caller] += size
            assert memory.taken == sum(by_caller.values()) <= 1000
            assert by_caller[caller] <= 750
    assert memory.taken == 0


def test_what_never_fits_is_no_overload() -> None:
    memory = RequestMemory(1000)
    with memory.held("a") as held:
        with pytest.raises(InvalidArgument, match="takes 751 bytes in memory; allowed: at most 750 bytes"):
            held.take(751)
        held.take(750)
        held.keep(100)
        assert memory.taken == 100
        held.keep(200)
        assert memory.taken == 100, "keeping takes nothing"


async def test_a_reply_that_nobody_reads_is_counted_and_given_up_at_its_deadline() -> None:
    replies = UnsentReplies()
    now = asyncio.get_running_loop().time()

    async def sending(deadline: float, read: asyncio.Event) -> None:
        replies.hold("a", 1000, deadline)
        await read.wait()

    read, unread = asyncio.Event(), asyncio.Event()
    sent = asyncio.create_task(sending(now + 60, read))
    stuck = asyncio.create_task(sending(now + 0.05, unread))
    await asyncio.sleep(0)
    assert replies.nbytes == 2000
    read.set()
    await sent
    await asyncio.wait((stuck,))
    assert stuck.cancelled()
    await asyncio.sleep(0)
    assert replies.nbytes == 0


async def test_replies_that_nobody_reads_are_bounded_and_one_is_never_too_large() -> None:
    replies, read = UnsentReplies(), asyncio.Event()

    async def sending(size: int) -> None:
        replies.hold("a", size, asyncio.get_running_loop().time() + 60)
        await read.wait()

    first = asyncio.create_task(sending(2**40))
    await asyncio.sleep(0)
    assert 0 < replies.nbytes < 2**28
    with pytest.raises(Overloaded, match="Replies that were not read yet hold"):
        await sending(1000)
    read.set()
    await first


@asynccontextmanager
async def gateway(engine: FakeEngine, limits: CallLimits) -> AsyncIterator[Any]:
    """Calls of a gateway, by whom they are."""
    server = grpc.aio.server(interceptors=(RequestIds(),))
    service_on(engine, call_limits=limits, concurrency_limit=8, capacity=8).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:

        async def outcome(who: str, data: bytes = SMALL) -> str:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SYNTHESIZE)
            call = method(data, metadata=(("who", who),), timeout=30)
            code = await call.code()
            return code.name if code is grpc.StatusCode.OK else f"{code.name}: {await call.details()}"

        yield outcome
    await server.stop(None)


async def test_one_caller_does_not_take_all_places_for_work() -> None:
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Any) -> None:
        begun.release()
        await go_on.wait()

    async with gateway(FakeEngine(wait), CallLimits(concurrent_rpcs=4)) as outcome:
        greedy = [asyncio.create_task(outcome("greedy")) for _ in range(3)]
        for _ in greedy:
            await begun.acquire()
        assert await outcome("greedy") == (
            "RESOURCE_EXHAUSTED: 3 requests are in progress of this caller, "
            "the most it gets while 3 are taken."
        )
        other = asyncio.create_task(outcome("other"))
        await begun.acquire()
        go_on.set()
        assert await asyncio.gather(*greedy, other) == ["OK"] * 4


async def test_what_waiting_requests_hold_is_bounded_and_given_back() -> None:
    go_on, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Any) -> None:
        begun.release()
        await go_on.wait()

    weight = 16 * len(SMALL)
    limits = CallLimits(request_memory_bytes=4 * weight)
    async with gateway(FakeEngine(wait), limits) as outcome:
        first = [asyncio.create_task(outcome("greedy")) for _ in range(3)]
        for _ in first:
            await begun.acquire()
        told = await outcome("greedy")
        assert told.startswith(f"RESOURCE_EXHAUSTED: Requests in progress hold {3 * weight} of {4 * weight}")
        other = asyncio.create_task(outcome("other"))
        await begun.acquire()
        assert "RESOURCE_EXHAUSTED" in await outcome("a third"), "all is taken"
        go_on.set()
        assert await asyncio.gather(*first, other) == ["OK"] * 4
        assert await outcome("greedy") == "OK"
        assert "INVALID_ARGUMENT" in await outcome("greedy", SMALL * 4), "what never fits"
