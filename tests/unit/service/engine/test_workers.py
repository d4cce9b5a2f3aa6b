import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial

import pytest

from service.core.errors import DeadlineExceeded, InvalidArgument, Unavailable
from service.engine.base import Priority
from service.engine.cancellation import CancelToken, Stopped
from service.engine.workers import INTERRUPT_SECONDS, Workers
from tests.support.promises import in_time

PATIENCE_SECONDS = 30
variable: ContextVar[str] = ContextVar("variable", default="nothing")


class Gate:
    """Work that runs until it is released, and tells that it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.running = asyncio.Event()
        self.release = threading.Event()
        self.token: CancelToken | None = None
        self.stopped = False

    def __call__(self, token: CancelToken) -> str:
        self.token = token
        self._loop.call_soon_threadsafe(self.running.set)
        assert self.release.wait(PATIENCE_SECONDS)
        try:
            token.check()
        except Stopped:
            self.stopped = True
            raise
        return "done"


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(2, "test")
    yield workers
    assert await workers.close(PATIENCE_SECONDS)


@pytest.fixture
async def one_worker() -> AsyncIterator[Workers]:
    workers = Workers(1, "test")
    yield workers
    assert await workers.close(PATIENCE_SECONDS)


@pytest.fixture
async def gate(
    workers: Workers,
    one_worker: Workers,  # released before they are closed
) -> AsyncIterator[Callable[[], Gate]]:
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate(asyncio.get_running_loop()))
        return made[-1]

    yield make
    for gate in made:
        gate.release.set()


def threads_left(name: str = "test") -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


async def test_work_runs_off_the_event_loop_and_gives_its_value(workers: Workers) -> None:
    assert await workers.run(lambda _: threading.get_ident()) != threading.get_ident()


async def test_what_work_raises_reaches_its_caller_and_frees_the_thread(one_worker: Workers) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await one_worker.run(lambda _: 1 // 0)
    assert await one_worker.run(lambda _: "fine") == "fine"


async def test_work_sees_the_context_of_its_caller(one_worker: Workers) -> None:
    variable.set("something")
    assert await one_worker.run(lambda _: variable.get()) == "something"
    variable.set("another")
    assert await one_worker.run(lambda _: variable.get()) == "another"


async def test_a_run_wakes_the_event_loop_once(one_worker: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wake, woken = loop.call_soon_threadsafe, 0

    def count(*arguments: object, **options: object) -> object:
        nonlocal woken
        woken += 1
        return wake(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    tasks = asyncio.all_tasks()
    assert await one_worker.run(lambda _: len(asyncio.all_tasks(loop)), timeout=30) == len(tasks)
    assert woken == 1


async def test_as_much_runs_at_once_as_there_are_threads(workers: Workers, gate: Callable[[], Gate]) -> None:
    gates = [gate(), gate(), gate()]
    runs = [asyncio.create_task(workers.run(each)) for each in gates]
    await gates[0].running.wait()
    await gates[1].running.wait()
    assert not gates[2].running.is_set()
    gates[0].release.set()
    await gates[2].running.wait()
    for each in gates:
        each.release.set()
    assert await asyncio.gather(*runs) == ["done"] * 3


async def test_interactive_work_goes_first_and_then_the_older(
    one_worker: Workers, gate: Callable[[], Gate]
) -> None:
    holder, order = gate(), list[str]()
    holding = asyncio.create_task(one_worker.run(holder))
    await holder.running.wait()

    def note(name: str, _: CancelToken) -> None:
        order.append(name)

    batch, interactive = Priority.BATCH, Priority.INTERACTIVE
    waiting = [("b1", batch), ("i1", interactive), ("b2", batch), ("i2", interactive)]
    runs = [
        asyncio.create_task(one_worker.run(partial(note, name), priority=priority))
        for name, priority in waiting
    ]
    await asyncio.sleep(0)
    holder.release.set()
    await asyncio.gather(holding, *runs)
    assert order == ["i1", "i2", "b1", "b2"]


async def test_cancelled_work_that_waits_never_begins_and_leaves_nothing_behind(
    one_worker: Workers, gate: Callable[[], Gate]
) -> None:
    holder, dropped = gate(), gate()
    holding = asyncio.create_task(one_worker.run(holder))
    await holder.running.wait()
    run = asyncio.create_task(one_worker.run(dropped, priority=Priority.BATCH))
    await asyncio.sleep(0)
    assert one_worker.waiting == 1
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert one_worker.waiting == 0
    holder.release.set()
    assert await holding == "done"
    assert await one_worker.run(lambda _: "next") == "next"
    assert not dropped.running.is_set()


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_caller_who_leaves_returns_at_once_and_the_work_is_told(
    one_worker: Workers, gate: Callable[[], Gate], how: str
) -> None:
    busy = gate()
    interrupted = threading.Event()
    run = asyncio.create_task(one_worker.run(busy, timeout=1 if how == "late" else None))
    await busy.running.wait()
    assert busy.token is not None
    busy.token.interrupt = interrupted.set
    if how == "cancelled":
        run.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await run
    assert interrupted.is_set()
    assert not busy.release.is_set()  # the thread is still at it
    busy.release.set()
    assert await one_worker.run(lambda _: "next") == "next"
    assert busy.stopped


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_timeout_that_has_passed_runs_nothing(one_worker: Workers, seconds: float) -> None:
    ran = threading.Event()
    with pytest.raises(DeadlineExceeded, match="before the work began"):
        await one_worker.run(lambda _: ran.set(), timeout=seconds)
    assert await one_worker.run(lambda _: "next") == "next"
    assert not ran.is_set()


async def test_a_deadline_that_the_thread_finds_first_is_the_same_failure(one_worker: Workers) -> None:
    def stop(_: CancelToken) -> None:
        raise Stopped

    with pytest.raises(DeadlineExceeded, match="before the work was done"):
        await one_worker.run(stop)


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_waiting_for_another_thread_ends_with_the_call(one_worker: Workers, how: str) -> None:
    condition, tokens = threading.Condition(), list[CancelToken]()
    ended = threading.Event()

    def wait(token: CancelToken) -> None:
        tokens.append(token)
        try:
            with condition:
                token.wait_for(condition, lambda: False)
        finally:
            ended.set()

    run = asyncio.create_task(one_worker.run(wait, timeout=1 if how == "late" else None))
    while not (tokens and tokens[0].waiting):  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(0.001)
    if how == "cancelled":
        run.cancel()
    with pytest.raises(DeadlineExceeded if how == "late" else asyncio.CancelledError):
        await run
    assert await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)


async def test_waiting_for_another_thread_ends_when_it_is_ready(workers: Workers) -> None:
    condition, tokens, ready = threading.Condition(), list[CancelToken](), False

    def wait(token: CancelToken) -> str:
        tokens.append(token)
        with condition:
            token.wait_for(condition, lambda: ready)
        return "ready"

    run = asyncio.create_task(workers.run(wait))
    while not (tokens and tokens[0].waiting):  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(0.001)
    with condition:
        ready = True
        condition.notify_all()
    assert await run == "ready"
    assert not tokens[0].waiting


async def test_a_fault_that_nobody_hears_of_is_logged(
    one_worker: Workers, gate: Callable[[], Gate], caplog: pytest.LogCaptureFixture
) -> None:
    busy = gate()

    def fail(token: CancelToken, error: Exception) -> None:
        with contextlib.suppress(Stopped):
            busy(token)
        raise error

    for error in (ValueError("ours"), InvalidArgument("field", "theirs", "nothing")):
        busy.running.clear()
        run = asyncio.create_task(one_worker.run(partial(fail, error=error)))
        await busy.running.wait()
        run.cancel()
        await asyncio.wait([run])
        busy.release.set()
        assert await one_worker.run(lambda _: "next") == "next"
        busy.release.clear()
    assert [record.exc_info and str(record.exc_info[1]) for record in caplog.records] == ["ours"]


async def test_posted_work_is_done_and_its_failure_logged(
    one_worker: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    one_worker.post(lambda: 1 // 0)
    one_worker.post(done.set)
    assert await asyncio.to_thread(done.wait, PATIENCE_SECONDS)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_close_lets_what_runs_and_waits_finish_and_refuses_the_rest(gate: Callable[[], Gate]) -> None:
    workers, busy = Workers(1, "closing"), gate()
    running = asyncio.create_task(workers.run(busy))
    waiting = asyncio.create_task(workers.run(lambda _: "waited"))
    await busy.running.wait()
    closing = asyncio.create_task(workers.close(PATIENCE_SECONDS))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="not running"):
        await workers.run(lambda _: "late")
    workers.post(lambda: "nothing happens")
    assert not closing.done()
    busy.release.set()
    assert await closing
    assert (await running, await waiting) == ("done", "waited")
    assert not threads_left("closing")
    assert await workers.close(0)


async def test_close_waits_no_longer_than_its_grace_for_what_cannot_be_interrupted(
    gate: Callable[[], Gate],
) -> None:
    workers, busy, never = Workers(1, "closing"), gate(), gate()
    interrupted = threading.Event()
    running = asyncio.create_task(workers.run(busy))
    waiting = asyncio.create_task(workers.run(never))
    await busy.running.wait()
    with in_time(0.05 + INTERRUPT_SECONDS):
        assert not await workers.close(0.05, interrupted.set)
    for run in (running, waiting):
        with pytest.raises(Unavailable, match="shutting down"):
            await run
    assert interrupted.is_set()
    assert threads_left("closing")
    busy.release.set()
    assert await workers.close(PATIENCE_SECONDS)
    assert busy.stopped
    assert not never.running.is_set()


async def test_close_interrupts_what_can_be_interrupted(
    gate: Callable[[], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.workers.INTERRUPT_SECONDS", PATIENCE_SECONDS)
    workers, busy = Workers(1, "closing"), gate()
    running = asyncio.create_task(workers.run(busy))
    await busy.running.wait()
    assert busy.token is not None
    busy.token.interrupt = busy.release.set
    assert await workers.close(0)
    with pytest.raises(Unavailable):
        await running
    assert busy.stopped
