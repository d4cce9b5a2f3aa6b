"""Runs blocking work on threads: at most so many at once in all, and at most so many per model.

Work that waits goes by the age of its request, so that a request that has begun is finished
before a younger one begins. Otherwise, under load, all requests in flight would crawl through
their steps side by side and every one of them would take as long as the last.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """What work returned, and how long it waited for a thread and ran, in seconds."""

    value: T
    queue_seconds: float
    compute_seconds: float


@dataclass(order=True, slots=True)
class _Job:
    age: int
    number: int
    key: Hashable = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    done: asyncio.Future[Timed[Any]] = field(compare=False)
    submitted: float = field(compare=False)


class Workers:
    """Threads shared by all models. Belongs to one event loop.

    Args:
        threads: Work that runs at the same time.
        capacities: Work of one key that runs at the same time; no bound but `threads` for others.
    """

    def __init__(self, threads: int, capacities: Mapping[Hashable, int]) -> None:
        self._free = threads
        self._free_by_key: dict[Hashable, int] = dict(capacities)
        self._threads = threads
        self._waiting: defaultdict[Hashable, list[_Job]] = defaultdict(list)
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, key: Hashable, age: int, work: Callable[[], T]) -> Timed[T]:
        """Run `work` on a thread.

        Cancelling the call drops work that has not begun; work that has begun runs to its end,
        keeps its thread until then, and its result is thrown away.

        Args:
            key: Whose capacity it takes.
            age: Number of the request it belongs to; smaller goes first.
            work: The blocking call.

        Raises:
            Exception: Whatever `work` raised.
        """
        job = _Job(age, next(self._numbers), key, work, self._loop.create_future(), time.perf_counter())
        heapq.heappush(self._waiting[key], job)
        self._dispatch()
        return await job.done

    async def close(self) -> None:
        """Wait for the work that runs, then end the threads."""
        await self._idle.wait()
        self._pool.shutdown()

    def _dispatch(self) -> None:
        """Start the oldest jobs for which there is room."""
        while self._free and (job := self._next_job()):
            self._free -= 1
            self._free_by_key[job.key] -= 1
            self._idle.clear()
            self._pool.submit(self._work, job)

    def _next_job(self) -> _Job | None:
        oldest: _Job | None = None
        for key, jobs in self._waiting.items():
            while jobs and jobs[0].done.cancelled():
                heapq.heappop(jobs)
            room = self._free_by_key.setdefault(key, self._threads) > 0
            if jobs and room and (oldest is None or jobs[0] < oldest):
                oldest = jobs[0]
        if oldest is not None:
            heapq.heappop(self._waiting[oldest.key])
        return oldest

    def _work(self, job: _Job) -> None:
        """On a thread: run the job and hand what came of it to the event loop."""
        began = time.perf_counter()
        try:
            value = job.work()
        except Exception as error:
            self._loop.call_soon_threadsafe(self._finish, job, error)
        else:
            timed = Timed(value, began - job.submitted, time.perf_counter() - began)
            self._loop.call_soon_threadsafe(self._finish, job, timed)

    def _finish(self, job: _Job, outcome: Timed[Any] | Exception) -> None:
        self._free += 1
        self._free_by_key[job.key] += 1
        if not job.done.cancelled():
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)
        self._dispatch()
        if self._free == self._threads:
            self._idle.set()
