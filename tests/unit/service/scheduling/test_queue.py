"""Who is admitted, in which order, and who is evicted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.errors import Overloaded
from service.scheduling.queue import RequestQueue, Ticket

INTERACTIVE, BATCH = 1, 2


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def admitted(
    queue: RequestQueue, images: int, *, caller: str, priority: int, seconds_left: float = math.inf
) -> Iterator[Ticket]:
    """Hold a ticket inside this context."""
    ticket = queue.enter("m", images, caller=caller, priority=priority, seconds_left=seconds_left)
    try:
        yield ticket
    finally:
        queue.leave(ticket)


@asynccontextmanager
async def turn(queue: RequestQueue, ticket: Ticket, clock: Clock | None = None) -> AsyncIterator[None]:
    """Have a turn inside this context."""
    charged = await queue.acquire(ticket)
    began = clock() if clock else 0.0
    done = False
    try:
        yield
        done = clock is not None
    finally:
        queue.release(ticket, clock() - began if clock else 0.0, charged, learn=done)


class Room:
    """A queue with requests that hold their turns until they are let go."""

    def __init__(self, *, slots: int = 1, room: int = 4) -> None:
        self.clock = Clock()
        self.queue = RequestQueue(concurrency_limit=slots, capacity=room, clock=self.clock)
        self.order: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, images: int = 1, caller: str = "a", priority: int = INTERACTIVE) -> None:
        """Start a request that makes its images one after the other, each until its gate opens."""
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._request(name, images, caller, priority))
        for _ in range(3):
            await asyncio.sleep(0)

    async def go(self, name: str) -> None:
        """Let a request finish."""
        self.gates[name].set()
        await self.tasks[name]

    async def finish(self, *names: str) -> None:
        """Let requests finish, whichever way their turns come."""
        for name in names:
            self.gates[name].set()
        await asyncio.wait_for(asyncio.gather(*(self.tasks[name] for name in names)), 5)

    async def _request(self, name: str, images: int, caller: str, priority: int) -> None:
        with admitted(self.queue, images, caller=caller, priority=priority) as ticket:
            await asyncio.gather(*(self._image(name, ticket) for _ in range(images)))

    async def _image(self, name: str, ticket: Ticket) -> None:
        async with turn(self.queue, ticket, self.clock):
            self.order.append(name)
            await self.gates[name].wait()


async def test_no_more_than_the_slots_run_and_the_rest_goes_by_age() -> None:
    room = Room(slots=2)
    for name in "abcd":
        await room.come(name)
    assert room.order == ["a", "b"]
    assert (room.queue.in_progress, room.queue.depth) == (2, 2)
    for name in "abcd":
        await room.go(name)
    assert room.order == ["a", "b", "c", "d"]
    assert (room.queue.in_progress, room.queue.depth) == (0, 0)


async def test_interactive_goes_before_batch() -> None:
    room = Room()
    await room.come("running")
    await room.come("batch", priority=BATCH)
    await room.come("interactive")
    await room.finish(*room.tasks)
    assert room.order == ["running", "interactive", "batch"]


async def test_a_caller_with_many_images_does_not_delay_one_with_few() -> None:
    room = Room(room=20)
    await room.come("running", caller="z")
    await room.come("many", images=10, caller="a")
    await room.come("one", caller="b")
    await room.come("two", images=2, caller="c")
    await room.finish(*room.tasks)
    assert room.order[:5] == ["running", "many", "one", "two", "many"]
    assert sorted(room.order[5:7]) == ["many", "two"]


async def test_a_full_room_refuses_and_says_when_to_come_back() -> None:
    room = Room(room=2)
    for name in "abc":
        await room.come(name)
    with (
        pytest.raises(Overloaded, match="2 images wait; the queue holds 2, and it asks for 1") as caught,
        admitted(room.queue, 1, caller="a", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    assert caught.value.retry_after_seconds >= 0.05
    for name in "abc":
        await room.go(name)
    with admitted(room.queue, 3, caller="a", priority=INTERACTIVE):
        pass


async def test_of_a_full_room_the_caller_who_takes_most_makes_way() -> None:
    room = Room(room=4)
    await room.come("running", caller="z")
    await room.come("old", images=2, caller="a")
    await room.come("young", images=2, caller="a")
    await room.come("other", caller="b")
    with pytest.raises(Overloaded, match="evicted"):
        await room.tasks["young"]
    # It does not go on for ever: who takes as much as the others is refused.
    with (
        pytest.raises(Overloaded, match="3 images wait"),
        admitted(room.queue, 2, caller="c", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await room.finish("running", "old", "other")
    assert room.order == ["running", "old", "other", "old"]


async def test_batches_make_way_for_interactive_requests_but_not_once_they_have_begun() -> None:
    room = Room(room=2)
    await room.come("begun", images=2, caller="a", priority=BATCH)
    await room.come("waits", caller="b", priority=BATCH)
    await room.come("urgent", caller="c")
    with pytest.raises(Overloaded, match="evicted"):
        await room.tasks["waits"]
    with (
        pytest.raises(Overloaded, match="2 images wait"),
        admitted(room.queue, 1, caller="d", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await room.finish("begun", "urgent")
    assert room.order == ["begun", "urgent", "begun"]


async def test_who_has_been_given_a_turn_makes_way_no_more_even_before_it_wakes_up() -> None:
    queue = RequestQueue(concurrency_limit=1, capacity=1)

    async def make(ticket: Ticket) -> None:
        async with turn(queue, ticket):
            assert (queue.in_progress, queue.depth) == (1, 1)

    with (
        admitted(queue, 1, caller="a", priority=INTERACTIVE) as first,
        admitted(queue, 1, caller="b", priority=BATCH) as batch,
    ):
        async with turn(queue, first):
            waiting = asyncio.create_task(make(batch))
            await asyncio.sleep(0)
        with admitted(queue, 1, caller="c", priority=INTERACTIVE):
            await waiting
    assert (queue.in_progress, queue.depth) == (0, 0)


async def test_a_turn_that_would_come_too_late_is_refused_at_once() -> None:
    room = Room(slots=1, room=20)
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    await room.come("running")
    await room.come("waits", images=3)
    queue = room.queue
    # Three images of 2 s, a quarter for caution, and its own 2 s.
    with admitted(queue, 1, caller="b", priority=INTERACTIVE, seconds_left=9.6):
        pass
    with (
        pytest.raises(Overloaded, match=r"ready in about 9.50 s, after its deadline in 9.00 s") as caught,
        admitted(queue, 1, caller="b", priority=INTERACTIVE, seconds_left=9.0),
    ):
        pytest.fail("it was let in")
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    for name in ("running", "waits"):
        await room.go(name)


async def test_nobody_waits_for_those_who_find_a_free_slot() -> None:
    room = Room(slots=3, room=20)
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    enter = partial(admitted, room.queue)
    # Let in, but not yet at their turns: a slot is free for each, and one more.
    with (
        enter(1, caller="a", priority=INTERACTIVE),
        enter(1, caller="b", priority=INTERACTIVE),
        enter(1, caller="c", priority=INTERACTIVE, seconds_left=0.2),
        pytest.raises(Overloaded),
        enter(1, caller="d", priority=INTERACTIVE, seconds_left=0.2),
    ):
        pytest.fail("it was let in")


async def test_batches_do_not_count_for_the_wait_of_interactive_requests() -> None:
    room = Room(slots=1, room=20)
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    await room.come("running")
    await room.come("batch", images=10, caller="b", priority=BATCH)
    with admitted(room.queue, 1, caller="c", priority=INTERACTIVE, seconds_left=1.0):
        pass
    for name in ("running", "batch"):
        await room.go(name)


COME = st.tuples(st.just("come"), st.sampled_from("ab"), st.sampled_from([1, 2]), st.integers(1, 3))
END = st.tuples(st.sampled_from(["go", "cancel"]), st.integers(0, 24))


@settings(max_examples=100, deadline=None)
@given(
    slots=st.integers(1, 3),
    size=st.integers(0, 5),
    actions=st.lists(st.one_of(COME, COME, END), min_size=1, max_size=25),
)
def test_whatever_comes_goes_or_is_cancelled_no_slot_and_no_room_is_lost(
    slots: int, size: int, actions: list[tuple[Any, ...]]
) -> None:
    async def run() -> None:
        room = Room(slots=slots, room=size)
        alive: list[str] = []
        for number, (action, *how) in enumerate(actions):
            if action == "come":
                caller, priority, images = how
                await room.come(str(number), images, caller, priority)
                alive.append(str(number))
            elif alive:
                name = alive.pop(how[0] % len(alive))
                if action == "go":
                    room.gates[name].set()
                else:
                    room.tasks[name].cancel()
                await asyncio.sleep(0)
            assert room.queue.in_progress <= slots
            assert room.queue.depth <= size + slots
        for gate in room.gates.values():
            gate.set()
        results = await asyncio.wait_for(asyncio.gather(*room.tasks.values(), return_exceptions=True), 5)
        assert all(
            result is None or isinstance(result, Overloaded | asyncio.CancelledError) for result in results
        )
        assert (room.queue.in_progress, room.queue.depth) == (0, 0)
        # All of it is there again.
        with ExitStack() as stack:
            stack.enter_context(admitted(room.queue, slots + size, caller="z", priority=1))

    asyncio.run(run())


async def cancelled(queue: RequestQueue, caller: str, priority: int = INTERACTIVE) -> None:
    """A request that is cancelled while it waits for its turn."""
    with admitted(queue, 1, caller=caller, priority=priority) as ticket:
        waiting = asyncio.create_task(queue.acquire(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_a_wait_that_is_cancelled_is_not_charged() -> None:
    room = Room(room=100)
    await room.come("running", caller="z")
    for _ in range(40):
        await cancelled(room.queue, "a")
    for number in range(40):
        await room.come(f"other{number}", caller=f"b{number}")
    await room.come("next", caller="a")
    await room.finish(*room.tasks)
    # Behind those who came before with as little, but not behind those who came for the second time.
    assert room.order.index("next") == 41
    again = Room(room=100)
    await again.come("running", caller="z")
    for _ in range(40):
        await cancelled(again.queue, "a")
    await again.come("once", images=2, caller="b")
    await again.come("next", caller="a")
    await again.finish(*again.tasks)
    assert again.order == ["running", "once", "next", "once"]


async def test_cancelled_waits_leave_the_queue_even_when_nothing_is_handed_out() -> None:
    room = Room(room=10)
    await room.come("running", caller="z")
    await room.come("waits", caller="y")
    for number in range(2_000):
        await cancelled(room.queue, f"a{number % 7}", BATCH)
    assert len(room.queue._queue) <= 2 * 64
    await room.finish(*room.tasks)
    assert room.order == ["running", "waits"]


async def test_callers_are_charged_by_what_their_images_took() -> None:
    """One caller's images take ten times as long as the model's usually do."""
    room = Room(room=50)
    await room.come("teaches", caller="z")
    room.clock.now += 1.0
    await room.go("teaches")
    await room.come("running", caller="z")
    await room.come("slow1", caller="slow")
    await room.come("slow2", caller="slow")
    await room.come("fast1", caller="fast")
    room.clock.now += 1.0
    await room.go("running")
    room.clock.now += 10.0
    await room.go("slow1")
    for name in ("fast2", "slow3", "fast3"):
        await room.come(name, caller=name[:4])
    await room.finish(*room.tasks)
    assert room.order.index("fast3") < room.order.index("slow3")


async def test_work_that_fails_is_charged_and_teaches_nothing() -> None:
    room = Room(room=50)
    await room.come("teaches", caller="z")
    room.clock.now += 1.0
    await room.go("teaches")
    queue = room.queue
    await room.come("running", caller="z")
    with admitted(queue, 1, caller="fails", priority=INTERACTIVE) as ticket:
        waiting = asyncio.create_task(queue.acquire(ticket))
        await asyncio.sleep(0)
        await room.go("running")
        known = queue._durations.mean("m")
        queue.release(ticket, 8.0, await waiting, learn=False)
        assert queue._durations.mean("m") == known
        await room.come("holds", caller="z")
        await room.come("fails", caller="fails")
        for number in range(5):
            await room.come(f"b{number}", caller="b")
        await room.finish("holds", "fails", *(f"b{number}" for number in range(5)))
    assert room.order[-1] == "fails"


async def test_the_work_that_waits_is_told_in_seconds() -> None:
    room = Room(room=10)
    assert room.queue.work_waiting_seconds == 0.0
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    await room.come("running")
    await room.come("waits", images=3)
    assert room.queue.work_waiting_seconds == pytest.approx(6.0)
    await room.finish(*room.tasks)
    assert room.queue.largest_request == 11
