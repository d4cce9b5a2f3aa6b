import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from service.engine.embedded.age import Age
from service.engine.embedded.workers import Link, Workers


class Blocked:
    """Work that runs until it is released, and tells that it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.running = asyncio.Event()
        self.release = threading.Event()

    def __call__(self) -> str:
        self._loop.call_soon_threadsafe(self.running.set)
        assert self.release.wait(30)
        return "done"


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(2, {"single": 1})
    yield workers
    async with asyncio.timeout(30):
        await workers.close()


@pytest.fixture
async def blocked() -> AsyncIterator[Callable[[], Blocked]]:
    made: list[Blocked] = []

    def make() -> Blocked:
        made.append(Blocked(asyncio.get_running_loop()))
        return made[-1]

    yield make
    for work in made:
        work.release.set()


async def test_work_runs_off_the_event_loop_and_is_timed(workers: Workers) -> None:
    timed = await workers.run("a", Age(1, 1), threading.get_ident)
    assert timed.value != threading.get_ident()
    assert timed.queue_seconds >= 0
    assert timed.compute_seconds >= 0


async def test_what_work_raises_reaches_its_caller_and_frees_the_thread(workers: Workers) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await workers.run("single", Age(1, 1), lambda: 1 // 0)
    assert (await workers.run("single", Age(1, 1), lambda: "fine")).value == "fine"


async def test_as_much_runs_at_once_as_there_are_threads(
    workers: Workers, blocked: Callable[[], Blocked]
) -> None:
    works = [blocked(), blocked(), blocked()]
    tasks = [asyncio.create_task(workers.run("a", Age(1, age), work)) for age, work in enumerate(works)]
    await works[0].running.wait()
    await works[1].running.wait()
    assert not works[2].running.is_set()
    works[0].release.set()
    await works[2].running.wait()
    for work in works:
        work.release.set()
    assert [timed.value for timed in await asyncio.gather(*tasks)] == ["done"] * 3


async def test_a_full_model_does_not_hold_up_the_others(
    workers: Workers, blocked: Callable[[], Blocked]
) -> None:
    first, second = blocked(), blocked()
    tasks = [
        asyncio.create_task(workers.run("single", Age(1, age), work))
        for age, work in enumerate((first, second))
    ]
    await first.running.wait()
    assert (await workers.run("other", Age(1, 9), lambda: "passed by")).value == "passed by"
    assert not second.running.is_set()
    first.release.set()
    await second.running.wait()
    second.release.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("keys", [("a", "a", "a", "a"), ("a", "b", "c", "d")], ids=["one model", "several"])
async def test_the_oldest_request_goes_first(blocked: Callable[[], Blocked], keys: tuple[str, ...]) -> None:
    workers, gate = Workers(1, {}), blocked()
    order: list[int] = []
    holding = asyncio.create_task(workers.run("gate", Age(1, 0), gate))
    await gate.running.wait()
    tasks = [
        asyncio.create_task(workers.run(key, Age(1, age), partial(order.append, age)))
        for key, age in zip(keys, (5, 3, 9, 1), strict=True)
    ]
    await asyncio.sleep(0)
    gate.release.set()
    await asyncio.gather(holding, *tasks)
    await workers.close()
    assert order == [1, 3, 5, 9]


async def test_cancelled_work_that_waits_never_runs(workers: Workers, blocked: Callable[[], Blocked]) -> None:
    gate, dropped = blocked(), blocked()
    holding = asyncio.create_task(workers.run("single", Age(1, 1), gate))
    await gate.running.wait()
    task = asyncio.create_task(workers.run("single", Age(1, 2), dropped))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.release.set()
    await holding
    assert (await workers.run("single", Age(1, 3), lambda: "next")).value == "next"
    assert not dropped.running.is_set()


@pytest.mark.parametrize("fails", [False, True])
async def test_cancelled_work_that_runs_keeps_its_place_until_it_ends(
    workers: Workers, blocked: Callable[[], Blocked], fails: bool
) -> None:
    gate = blocked()

    def work() -> None:
        gate()
        if fails:
            raise ValueError("nobody is left to hear this")

    task = asyncio.create_task(workers.run("single", Age(1, 1), work))
    await gate.running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting = asyncio.create_task(workers.run("single", Age(1, 2), lambda: "after"))
    assert (await workers.run("other", Age(1, 3), lambda: "beside")).value == "beside"
    assert not waiting.done()
    gate.release.set()
    assert (await waiting).value == "after"


async def test_close_waits_for_abandoned_work(workers: Workers, blocked: Callable[[], Blocked]) -> None:
    gate = blocked()
    task = asyncio.create_task(workers.run("a", Age(1, 1), gate))
    await gate.running.wait()
    task.cancel()
    closing = asyncio.create_task(workers.close())
    await asyncio.wait([task])
    assert not closing.done()
    gate.release.set()
    await closing


async def test_a_chain_stays_on_its_thread_and_gives_every_result_in_order(workers: Workers) -> None:
    timed = await workers.run_chain(
        [Link(key, threading.get_ident) for key in ("a", "single", "b")], Age(1, 1)
    )
    assert len({each.value for each in timed}) == 1
    assert [each.submitted for each in timed] == sorted(each.submitted for each in timed)


async def test_a_failing_link_ends_its_chain(workers: Workers) -> None:
    ran: list[str] = []
    links = [
        Link("a", lambda: ran.append("a")),
        Link("b", lambda: 1 // 0),
        Link("c", lambda: ran.append("c")),
    ]
    with pytest.raises(ZeroDivisionError):
        await workers.run_chain(links, Age(1, 1))
    assert ran == ["a"]


async def test_cancelling_a_chain_lets_the_running_link_end_and_drops_the_rest(
    workers: Workers, blocked: Callable[[], Blocked]
) -> None:
    first, ran = blocked(), threading.Event()
    task = asyncio.create_task(workers.run_chain([Link("single", first), Link("b", ran.set)], Age(1, 1)))
    await first.running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    first.release.set()
    assert (await workers.run("single", Age(1, 2), lambda: "next")).value == "next"
    assert not ran.is_set()


async def test_a_chain_waits_for_room_and_lets_others_run_meanwhile(
    workers: Workers, blocked: Callable[[], Blocked]
) -> None:
    holder = blocked()
    holding = asyncio.create_task(workers.run("single", Age(1, 1), holder))
    await holder.running.wait()
    chain = asyncio.create_task(workers.run_chain([Link("a", str), Link("single", str)], Age(1, 2)))
    for _ in range(3):
        assert (await workers.run("other", Age(1, 3), lambda: "ran")).value == "ran"
    assert not chain.done()
    holder.release.set()
    await holding
    assert len(await chain) == 2


async def test_a_smaller_priority_goes_first_however_young(blocked: Callable[[], Blocked]) -> None:
    workers, gate = Workers(1, {}), blocked()
    order: list[Age] = []
    holding = asyncio.create_task(workers.run("gate", Age(1, 0), gate))
    await gate.running.wait()
    ages = [Age(2, 1), Age(1, 9), Age(2, 3), Age(1, 4)]
    tasks = [asyncio.create_task(workers.run("a", age, partial(order.append, age))) for age in ages]
    await asyncio.sleep(0)
    gate.release.set()
    await asyncio.gather(holding, *tasks)
    await workers.close()
    assert order == [Age(1, 4), Age(1, 9), Age(2, 1), Age(2, 3)]
