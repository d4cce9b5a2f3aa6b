"""Turns of the queue and the workers that are busy with them, on real threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TypeVar

import pytest

from service.core.errors import DeadlineExceeded
from service.core.metrics import Metrics
from service.engine.base import Finished, InferenceContext, Priority, Task, advance
from service.engine.cancellation import CancelToken
from service.engine.workers import Workers
from service.scheduling.queue import RequestQueue
from service.synthesis.requests import CallContext
from service.synthesis.runner import Runner
from service.synthesis.work import CallTimings, Timings
from tests.support.fake_engine import FakeEngine

T = TypeVar("T")


class ThreadEngine(FakeEngine):
    """Runs tasks that need no inference, each on one worker thread."""

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self._workers = workers
        self.too_late = asyncio.Event()

    async def run(self, task: Task[T], context: InferenceContext = InferenceContext()) -> T:  # noqa: B008 - frozen
        """As the embedded engine does; what runs is left to its worker when `too_late` is set."""

        def drive(_: CancelToken) -> T:
            step = advance(task)
            assert isinstance(step, Finished)
            return step.value

        running = asyncio.create_task(self._workers.run(drive))
        late = asyncio.create_task(self.too_late.wait())
        try:
            await asyncio.wait((running, late), return_when=asyncio.FIRST_COMPLETED)
            if late.done():
                raise DeadlineExceeded("The deadline passed.")
            return await running
        finally:
            for each in (running, late):
                each.cancel()
            await asyncio.gather(running, late, return_exceptions=True)


class Stuck:
    """Work in the middle of which its worker is until it is let go, and that nothing interrupts."""

    model = served_by = "stuck"
    model_version = "1.0.0"
    priority = Priority.INTERACTIVE
    images = 1
    images_field = ""
    labels = None

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def prepare(self, timings: Timings) -> Task[None]:
        """Begin, and wait."""
        yield from ()
        self.begun.set()
        assert self.go_on.wait(60)

    def produce(self, index: int, timings: Timings) -> Task[int]:
        """Give the index."""
        yield from ()
        return index


def message(_: int) -> bytes:
    return b"made"


async def until_begun(work: Stuck) -> None:
    assert await asyncio.to_thread(work.begun.wait, 60)


@pytest.mark.parametrize("ending", ["cancelled", "too late"])
async def test_a_turn_lasts_as_long_as_its_worker_is_busy(ending: str) -> None:
    workers = Workers(1, "test")
    queue = RequestQueue(concurrency_limit=1, capacity=4)
    engine = ThreadEngine(workers)
    runner = Runner(engine, queue, Metrics())
    stuck, other = Stuck(), Stuck()
    other.go_on.set()
    first = asyncio.create_task(runner.single(stuck, CallContext(), message))
    await until_begun(stuck)
    if ending == "cancelled":
        first.cancel()
    else:
        engine.too_late.set()
    with pytest.raises(asyncio.CancelledError if ending == "cancelled" else DeadlineExceeded):
        await first
    engine.too_late.clear()
    assert queue.in_progress == 1, "its worker is busy"
    second = asyncio.create_task(runner.single(other, CallContext(), message))
    for _ in range(20):
        await asyncio.sleep(0)
    assert queue.depth == 1, "it waits in the queue, where it can be evicted and counts for its caller"
    assert not other.begun.is_set()
    stuck.go_on.set()
    assert await second == b"made"
    assert (queue.in_progress, queue.depth) == (0, 0)
    assert await workers.close(10)


async def test_work_that_never_began_ends_its_turn_at_once() -> None:
    workers = Workers(1, "test")
    queue = RequestQueue(concurrency_limit=2, capacity=4)
    runner = Runner(ThreadEngine(workers), queue, Metrics())
    stuck, waiting = Stuck(), Stuck()
    first = asyncio.create_task(runner.single(stuck, CallContext(), message))
    await until_begun(stuck)
    second = asyncio.create_task(runner.single(waiting, CallContext(), message))
    for _ in range(20):
        await asyncio.sleep(0)
    assert queue.in_progress == 2
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert queue.in_progress == 1
    stuck.go_on.set()
    assert await first == b"made"
    assert not waiting.begun.is_set()
    assert await workers.close(10)


def test_a_call_tells_of_the_image_that_all_was_decoded_with_whichever_was_done_first() -> None:
    """Images of a stream come as they are done; the first of them is the one that decodes."""
    call = CallTimings()
    call.add(Timings(queue_wait=0.5, worker_wait=0.25, encode=0.125), first=False)
    call.add(Timings(queue_wait=0.5, worker_wait=0.75, decode=0.0625, encode=0.125), first=True)
    assert (call.decode, call.worker_wait) == (0.0625, 0.75)
    assert (call.images, call.queue_wait, call.encode) == (2, 1.0, 0.25)
