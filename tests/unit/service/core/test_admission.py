"""Who is let in, in which order, and who is sent away."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core.admission import Admission, Visit
from service.core.errors import Overloaded

INTERACTIVE, BATCH = 1, 2


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Room:
    """An admission with requests that hold their turns until they are let go."""

    def __init__(self, *, slots: int = 1, room: int = 4) -> None:
        self.clock = Clock()
        self.admission = Admission(slots=slots, room=room, clock=self.clock)
        self.order: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self, name: str, pictures: int = 1, caller: str = "a", priority: int = INTERACTIVE
    ) -> None:
        """Start a request that makes its pictures one after the other, each until its gate opens."""
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._request(name, pictures, caller, priority))
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

    async def _request(self, name: str, pictures: int, caller: str, priority: int) -> None:
        with self.admission.enter("m", pictures, caller=caller, priority=priority) as visit:
            await asyncio.gather(*(self._picture(name, visit) for _ in range(pictures)))

    async def _picture(self, name: str, visit: Visit) -> None:
        async with self.admission.turn(visit):
            self.order.append(name)
            await self.gates[name].wait()


async def test_no_more_than_the_slots_run_and_the_rest_goes_by_age() -> None:
    room = Room(slots=2)
    for name in "abcd":
        await room.come(name)
    assert room.order == ["a", "b"]
    assert (room.admission.running, room.admission.waiting) == (2, 2)
    for name in "abcd":
        await room.go(name)
    assert room.order == ["a", "b", "c", "d"]
    assert (room.admission.running, room.admission.waiting) == (0, 0)


async def test_interactive_goes_before_batch() -> None:
    room = Room()
    await room.come("running")
    await room.come("batch", priority=BATCH)
    await room.come("interactive")
    await room.finish(*room.tasks)
    assert room.order == ["running", "interactive", "batch"]


async def test_a_caller_with_many_pictures_does_not_delay_one_with_few() -> None:
    room = Room(room=20)
    await room.come("running", caller="z")
    await room.come("many", pictures=10, caller="a")
    await room.come("one", caller="b")
    await room.come("two", pictures=2, caller="c")
    await room.finish(*room.tasks)
    assert room.order[:5] == ["running", "many", "one", "two", "many"]
    assert sorted(room.order[5:7]) == ["many", "two"]


async def test_a_full_room_refuses_and_says_when_to_come_back() -> None:
    room = Room(room=2)
    for name in "abc":
        await room.come(name)
    with (
        pytest.raises(Overloaded, match="2 pictures wait; there is room for 2, and it asks for 1") as caught,
        room.admission.enter("m", 1, caller="a", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    assert caught.value.retry_after_seconds >= 0.05
    for name in "abc":
        await room.go(name)
    with room.admission.enter("m", 3, caller="a", priority=INTERACTIVE):
        pass


async def test_of_a_full_room_the_caller_who_takes_most_makes_way() -> None:
    room = Room(room=4)
    await room.come("running", caller="z")
    await room.come("old", pictures=2, caller="a")
    await room.come("young", pictures=2, caller="a")
    await room.come("other", caller="b")
    with pytest.raises(Overloaded, match="make way"):
        await room.tasks["young"]
    # It does not go on for ever: who takes as much as the others is refused.
    with (
        pytest.raises(Overloaded, match="3 pictures wait"),
        room.admission.enter("m", 2, caller="c", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await room.finish("running", "old", "other")
    assert room.order == ["running", "old", "other", "old"]


async def test_batches_make_way_for_interactive_requests_but_not_once_they_have_begun() -> None:
    room = Room(room=2)
    await room.come("begun", pictures=2, caller="a", priority=BATCH)
    await room.come("waits", caller="b", priority=BATCH)
    await room.come("urgent", caller="c")
    with pytest.raises(Overloaded, match="make way"):
        await room.tasks["waits"]
    with (
        pytest.raises(Overloaded, match="2 pictures wait"),
        room.admission.enter("m", 1, caller="d", priority=INTERACTIVE),
    ):
        pytest.fail("it was let in")
    await room.finish("begun", "urgent")
    assert room.order == ["begun", "urgent", "begun"]


async def test_who_has_been_given_a_turn_makes_way_no_more_even_before_it_wakes_up() -> None:
    admission = Admission(slots=1, room=1)

    async def make(visit: Visit) -> None:
        async with admission.turn(visit):
            assert (admission.running, admission.waiting) == (1, 1)

    with (
        admission.enter("m", 1, caller="a", priority=INTERACTIVE) as first,
        admission.enter("m", 1, caller="b", priority=BATCH) as batch,
    ):
        async with admission.turn(first):
            waiting = asyncio.create_task(make(batch))
            await asyncio.sleep(0)
        with admission.enter("m", 1, caller="c", priority=INTERACTIVE):
            await waiting
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_turn_that_would_come_too_late_is_refused_at_once() -> None:
    room = Room(slots=1, room=20)
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    await room.come("running")
    await room.come("waits", pictures=3)
    admission = room.admission
    # Three pictures of 2 s, a quarter for caution, and its own 2 s.
    with admission.enter("m", 1, caller="b", priority=INTERACTIVE, seconds_left=9.6):
        pass
    with (
        pytest.raises(Overloaded, match=r"ready in about 9.50 s, after its deadline in 9.00 s") as caught,
        admission.enter("m", 1, caller="b", priority=INTERACTIVE, seconds_left=9.0),
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
    enter = room.admission.enter
    # Let in, but not yet at their turns: a slot is free for each, and one more.
    with (
        enter("m", 1, caller="a", priority=INTERACTIVE),
        enter("m", 1, caller="b", priority=INTERACTIVE),
        enter("m", 1, caller="c", priority=INTERACTIVE, seconds_left=0.2),
        pytest.raises(Overloaded),
        enter("m", 1, caller="d", priority=INTERACTIVE, seconds_left=0.2),
    ):
        pytest.fail("it was let in")


async def test_batches_do_not_count_for_the_wait_of_interactive_requests() -> None:
    room = Room(slots=1, room=20)
    await room.come("teaches")
    room.clock.now = 2.0
    await room.go("teaches")
    await room.come("running")
    await room.come("batch", pictures=10, caller="b", priority=BATCH)
    with room.admission.enter("m", 1, caller="c", priority=INTERACTIVE, seconds_left=1.0):
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
                caller, priority, pictures = how
                await room.come(str(number), pictures, caller, priority)
                alive.append(str(number))
            elif alive:
                name = alive.pop(how[0] % len(alive))
                if action == "go":
                    room.gates[name].set()
                else:
                    room.tasks[name].cancel()
                await asyncio.sleep(0)
            assert room.admission.running <= slots
            assert room.admission.waiting <= size + slots
        for gate in room.gates.values():
            gate.set()
        results = await asyncio.wait_for(asyncio.gather(*room.tasks.values(), return_exceptions=True), 5)
        assert all(
            result is None or isinstance(result, Overloaded | asyncio.CancelledError) for result in results
        )
        assert (room.admission.running, room.admission.waiting) == (0, 0)
        # All of it is there again.
        with ExitStack() as stack:
            stack.enter_context(room.admission.enter("m", slots + size, caller="z", priority=1))

    asyncio.run(run())
