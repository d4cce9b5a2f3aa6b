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


class Scenario:
    """A queue with requests that hold their turns until they are let go."""

    def __init__(self, *, limit: int = 1, capacity: int = 4) -> None:
        self.clock = Clock()
        self.queue = RequestQueue(concurrency_limit=limit, capacity=capacity, clock=self.clock)
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


async def test_no_more_than_the_limit_run_and_the_rest_goes_by_age() -> None:
    scenario = Scenario(limit=2)
    for name in "abcd":
        await scenario.come(name)
    assert scenario.order == ["a", "b"]
    assert (scenario.queue.in_progress, scenario.queue.depth) == (2, 2)
    for name in "abcd":
        await scenario.go(name)
    assert scenario.order == ["a", "b", "c", "d"]
    assert (scenario.queue.in_progress, scenario.queue.depth) == (0, 0)


async def test_interactive_goes_before_batch() -> None:
    scenario = Scenario()
    await scenario.come("running")
    await scenario.come("batch", priority=BATCH)
    await scenario.come("interactive")
    await scenario.finish(*scenario.tasks)
    assert scenario.order == ["running", "interactive", "batch"]


async def test_a_caller_with_many_images_does_not_delay_one_with_few() -> None:
    scenario = Scenario(capacity=20)
    await scenario.come("running", caller="z")
    await scenario.come("many", images=10, caller="a")
    await scenario.come("one", caller="b")
    await scenario.come("two", images=2, caller="c")
    await scenario.finish(*scenario.tasks)
    assert scenario.order[:5] == ["running", "many", "one", "two", "many"]
    assert sorted(scenario.order[5:7]) == ["many", "two"]


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    scenario = Scenario(capacity=2)
    for name in "abc":
        await scenario.come(name)
    with (
        pytest.raises(Overloaded, match="2 images wait; the queue holds 2, and it asks for 1") as caught,
        admitted(scenario.queue, 1, caller="a", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    assert caught.value.retry_after_seconds >= 0.05
    for name in "abc":
        await scenario.go(name)
    with admitted(scenario.queue, 3, caller="a", priority=INTERACTIVE):
        pass


async def test_of_a_full_queue_the_caller_who_takes_most_is_evicted() -> None:
    scenario = Scenario(capacity=4)
    await scenario.come("running", caller="z")
    await scenario.come("old", images=2, caller="a")
    await scenario.come("young", images=2, caller="a")
    await scenario.come("other", caller="b")
    with pytest.raises(Overloaded, match="evicted"):
        await scenario.tasks["young"]
    # It does not go on for ever: who takes as much as the others is refused.
    with (
        pytest.raises(Overloaded, match="3 images wait"),
        admitted(scenario.queue, 2, caller="c", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await scenario.finish("running", "old", "other")
    assert scenario.order == ["running", "old", "other", "old"]


async def test_batches_are_evicted_for_interactive_requests_but_not_once_they_have_begun() -> None:
    scenario = Scenario(capacity=2)
    await scenario.come("begun", images=2, caller="a", priority=BATCH)
    await scenario.come("waits", caller="b", priority=BATCH)
    await scenario.come("urgent", caller="c")
    with pytest.raises(Overloaded, match="evicted"):
        await scenario.tasks["waits"]
    with (
        pytest.raises(Overloaded, match="2 images wait"),
        admitted(scenario.queue, 1, caller="d", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await scenario.finish("begun", "urgent")
    assert scenario.order == ["begun", "urgent", "begun"]


async def test_who_has_been_given_a_turn_is_evicted_no_more_even_before_it_wakes_up() -> None:
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
    scenario = Scenario(limit=1, capacity=20)
    await scenario.come("teaches")
    scenario.clock.now = 2.0
    await scenario.go("teaches")
    await scenario.come("running")
    await scenario.come("waits", images=3)
    queue = scenario.queue
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
        await scenario.go(name)


async def test_nobody_waits_for_those_who_find_a_free_turn() -> None:
    scenario = Scenario(limit=3, capacity=20)
    await scenario.come("teaches")
    scenario.clock.now = 2.0
    await scenario.go("teaches")
    enter = partial(admitted, scenario.queue)
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
    scenario = Scenario(limit=1, capacity=20)
    await scenario.come("teaches")
    scenario.clock.now = 2.0
    await scenario.go("teaches")
    await scenario.come("running")
    await scenario.come("batch", images=10, caller="b", priority=BATCH)
    with admitted(scenario.queue, 1, caller="c", priority=INTERACTIVE, seconds_left=1.0):
        pass
    for name in ("running", "batch"):
        await scenario.go(name)


COME = st.tuples(st.just("come"), st.sampled_from("ab"), st.sampled_from([1, 2]), st.integers(1, 3))
END = st.tuples(st.sampled_from(["go", "cancel"]), st.integers(0, 24))


@settings(max_examples=100, deadline=None)
@given(
    limit=st.integers(1, 3),
    size=st.integers(0, 5),
    actions=st.lists(st.one_of(COME, COME, END), min_size=1, max_size=25),
)
def test_whatever_comes_goes_or_is_cancelled_no_turn_and_no_place_is_lost(
    limit: int, size: int, actions: list[tuple[Any, ...]]
) -> None:
    async def run() -> None:
        scenario = Scenario(limit=limit, capacity=size)
        alive: list[str] = []
        for number, (action, *how) in enumerate(actions):
            if action == "come":
                caller, priority, images = how
                await scenario.come(str(number), images, caller, priority)
                alive.append(str(number))
            elif alive:
                name = alive.pop(how[0] % len(alive))
                if action == "go":
                    scenario.gates[name].set()
                else:
                    scenario.tasks[name].cancel()
                await asyncio.sleep(0)
            assert scenario.queue.in_progress <= limit
            assert scenario.queue.depth <= size + limit
        for gate in scenario.gates.values():
            gate.set()
        results = await asyncio.wait_for(asyncio.gather(*scenario.tasks.values(), return_exceptions=True), 5)
        assert all(
            result is None or isinstance(result, Overloaded | asyncio.CancelledError) for result in results
        )
        assert (scenario.queue.in_progress, scenario.queue.depth) == (0, 0)
        # All of it is there again.
        with ExitStack() as stack:
            stack.enter_context(admitted(scenario.queue, limit + size, caller="z", priority=1))

    asyncio.run(run())


async def cancelled(queue: RequestQueue, caller: str, priority: int = INTERACTIVE) -> None:
    """A request that is cancelled while it waits for its turn."""
    with admitted(queue, 1, caller=caller, priority=priority) as ticket:
        waiting = asyncio.create_task(queue.acquire(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_a_wait_that_is_cancelled_is_not_charged() -> None:
    scenario = Scenario(capacity=100)
    await scenario.come("running", caller="z")
    for _ in range(40):
        await cancelled(scenario.queue, "a")
    for number in range(40):
        await scenario.come(f"other{number}", caller=f"b{number}")
    await scenario.come("next", caller="a")
    await scenario.finish(*scenario.tasks)
    # Behind those who came before with as little, but not behind those who came for the second time.
    assert scenario.order.index("next") == 41
    again = Scenario(capacity=100)
    await again.come("running", caller="z")
    for _ in range(40):
        await cancelled(again.queue, "a")
    await again.come("once", images=2, caller="b")
    await again.come("next", caller="a")
    await again.finish(*again.tasks)
    assert again.order == ["running", "once", "next", "once"]


async def test_cancelled_waits_leave_the_queue_even_when_nothing_is_handed_out() -> None:
    scenario = Scenario(capacity=10)
    await scenario.come("running", caller="z")
    await scenario.come("waits", caller="y")
    for number in range(2_000):
        await cancelled(scenario.queue, f"a{number % 7}", BATCH)
    assert len(scenario.queue._queue) <= 2 * 64
    await scenario.finish(*scenario.tasks)
    assert scenario.order == ["running", "waits"]


async def test_callers_are_charged_by_what_their_images_took() -> None:
    """One caller's images take ten times as long as the model's usually do."""
    scenario = Scenario(capacity=50)
    await scenario.come("teaches", caller="z")
    scenario.clock.now += 1.0
    await scenario.go("teaches")
    await scenario.come("running", caller="z")
    await scenario.come("slow1", caller="slow")
    await scenario.come("slow2", caller="slow")
    await scenario.come("fast1", caller="fast")
    scenario.clock.now += 1.0
    await scenario.go("running")
    scenario.clock.now += 10.0
    await scenario.go("slow1")
    for name in ("fast2", "slow3", "fast3"):
        await scenario.come(name, caller=name[:4])
    await scenario.finish(*scenario.tasks)
    assert scenario.order.index("fast3") < scenario.order.index("slow3")


async def test_work_that_fails_is_charged_and_teaches_nothing() -> None:
    scenario = Scenario(capacity=50)
    await scenario.come("teaches", caller="z")
    scenario.clock.now += 1.0
    await scenario.go("teaches")
    queue = scenario.queue
    await scenario.come("running", caller="z")
    with admitted(queue, 1, caller="fails", priority=INTERACTIVE) as ticket:
        waiting = asyncio.create_task(queue.acquire(ticket))
        await asyncio.sleep(0)
        await scenario.go("running")
        known = queue._durations.mean("m")
        queue.release(ticket, 8.0, await waiting, learn=False)
        assert queue._durations.mean("m") == known
        await scenario.come("holds", caller="z")
        await scenario.come("fails", caller="fails")
        for number in range(5):
            await scenario.come(f"b{number}", caller="b")
        await scenario.finish("holds", "fails", *(f"b{number}" for number in range(5)))
    assert scenario.order[-1] == "fails"


async def test_the_work_that_waits_is_told_in_seconds() -> None:
    scenario = Scenario(capacity=10)
    assert scenario.queue.work_waiting_seconds == 0.0
    await scenario.come("teaches")
    scenario.clock.now = 2.0
    await scenario.go("teaches")
    await scenario.come("running")
    await scenario.come("waits", images=3)
    assert scenario.queue.work_waiting_seconds == pytest.approx(6.0)
    await scenario.finish(*scenario.tasks)
    assert scenario.queue.largest_request == 11


async def test_while_it_is_held_nobody_has_a_turn_and_no_more_wait_than_may() -> None:
    scenario = Scenario(limit=2, capacity=3)
    scenario.queue.hold()
    for name in "abc":
        await scenario.come(name)
    assert (scenario.order, scenario.queue.in_progress, scenario.queue.depth) == ([], 0, 3)
    with pytest.raises(Overloaded):
        scenario.queue.enter("m", 1, caller="a", priority=INTERACTIVE)
    scenario.queue.resume()
    await scenario.finish("a", "b", "c")
    assert scenario.order == ["a", "b", "c"]
    assert (scenario.queue.in_progress, scenario.queue.depth) == (0, 0)


async def test_an_image_whose_turn_was_of_no_use_waits_again() -> None:
    queue = RequestQueue(concurrency_limit=1, capacity=2)
    with admitted(queue, 1, caller="a", priority=INTERACTIVE) as ticket:
        for _ in range(2):
            async with turn(queue, ticket):
                assert (queue.in_progress, queue.depth) == (1, 0)
            queue.wait_again(ticket)
            assert (queue.in_progress, queue.depth) == (0, 1)
        async with turn(queue, ticket):
            pass
    assert (queue.in_progress, queue.depth) == (0, 0)


async def test_one_who_waits_in_a_queue_that_is_held_may_leave() -> None:
    queue = RequestQueue(concurrency_limit=1, capacity=2)
    queue.hold()
    with admitted(queue, 1, caller="a", priority=INTERACTIVE) as ticket:
        waiting = asyncio.create_task(queue.acquire(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    queue.resume()
    assert (queue.in_progress, queue.depth) == (0, 0)
