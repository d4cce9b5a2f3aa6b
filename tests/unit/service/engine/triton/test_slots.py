"""So many at a time, the smallest age first, and none is lost."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.age import Age
from service.engine.triton.slots import Slots


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 3),
    calls=st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=1, max_size=12),
)
def test_any_mixture_of_calls_and_cancellations(count: int, calls: list[tuple[int, bool]]) -> None:
    """Those cancelled while they wait never run; the others run in order, never more than allowed at once."""

    async def run() -> None:
        slots, gate = Slots(count), asyncio.Event()
        began: list[Age] = []
        running = most = 0

        async def call(age: Age) -> None:
            nonlocal running, most
            async with slots.take(age):
                began.append(age)
                running += 1
                most = max(most, running)
                await gate.wait()
                await asyncio.sleep(0)
                running -= 1

        ages = [Age(priority, number) for number, (priority, _) in enumerate(calls)]
        tasks = []
        for age in ages:
            tasks.append(asyncio.create_task(call(age)))
            await asyncio.sleep(0)
        for task, (_, cancel) in list(zip(tasks, calls, strict=True))[count:]:
            if cancel:
                task.cancel()
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        kept = [age for age, (_, cancel) in list(zip(ages, calls, strict=True))[count:] if not cancel]
        assert began == ages[:count] + sorted(kept)
        assert most <= count
        # Every slot is free again.
        async with asyncio.timeout(1):
            for number in range(count):
                await slots.take(Age(1, number)).__aenter__()

    asyncio.run(run())


async def test_a_slot_given_to_a_call_that_is_cancelled_at_that_moment_is_passed_on() -> None:
    slots = Slots(1)
    first = slots.take(Age(1, 0))
    await first.__aenter__()

    async def hold(number: int) -> int:
        async with slots.take(Age(1, number)):
            return number

    loser, winner = asyncio.create_task(hold(1)), asyncio.create_task(hold(2))
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)  # gives the slot to the loser, which has not run yet
    loser.cancel()
    assert await asyncio.wait_for(winner, 1) == 2
    assert (await asyncio.gather(loser, return_exceptions=True))[0].__class__ is asyncio.CancelledError
