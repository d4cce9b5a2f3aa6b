"""Runs blocking work on threads: at most so many at once in all, and at most so many per model.

Work that waits goes by the priority of its request, then by its age, so that a request that has begun is
finished before a younger one begins. Otherwise, under load, all requests in flight would crawl through
their steps side by side and every one of them would take as long as the last.

The threads fetch their next work themselves. What follows in a chain thus begins at once, without
waking the event loop and a thread again, which costs as much as a small model.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from service.engine.embedded.age import Age

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """What work returned, and when.

    Attributes:
        value: What it returned.
        submitted: When it could have begun (`time.perf_counter`).
        queue_seconds: How long it waited for a thread.
        compute_seconds: How long it ran.
    """

    value: T
    submitted: float
    queue_seconds: float
    compute_seconds: float


class Link(NamedTuple):
    """Work, and whose capacity it takes."""

    key: Hashable
    work: Callable[[], Any]


@dataclass(order=True, slots=True)
class _Job:
    age: Age
    number: int
    links: Sequence[Link] = field(compare=False)
    done: asyncio.Future[list[Timed[Any]]] = field(compare=False)
    submitted: float = field(compare=False)
    results: list[Timed[Any]] = field(compare=False, default_factory=list)

    @property
    def next_link(self) -> Link:
        return self.links[len(self.results)]


class Workers:
    """Threads shared by all models. Belongs to one event loop.

    Args:
        threads: Work that runs at the same time.
        capacities: Work of one key that runs at the same time; no bound but `threads` for others.
    """

    def __init__(self, threads: int, capacities: Mapping[Hashable, int]) -> None:
        self._lock = threading.Lock()  # of everything down to `_waiting`
        self._free = threads
        self._free_by_key: dict[Hashable, int] = dict(capacities)
        self._waiting: defaultdict[Hashable, list[_Job]] = defaultdict(list)
        self._threads = threads
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine")
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, key: Hashable, age: Age, work: Callable[[], T]) -> Timed[T]:
        """Run `work` on a thread: a chain of one link, see `run_chain`."""
        (timed,) = await self.run_chain([Link(key, work)], age)
        return timed

    async def run_chain(self, links: Sequence[Link], age: Age) -> list[Timed[Any]]:
        """Run work one after the other, each on a thread as soon as there is room for it.

        Cancelling the call drops work that has not begun; work that has begun runs to its end,
        keeps its thread until then, and its result is thrown away.

        Args:
            links: The work, at least one.
            age: Of the request it belongs to; the smaller goes first.

        Returns:
            What came of each link.

        Raises:
            Exception: Whatever a link raised; those after it do not run.
        """
        job = _Job(age, next(self._numbers), links, self._loop.create_future(), time.perf_counter())
        with self._lock:
            self._enqueue(job)
            self._dispatch()
        return await job.done

    async def close(self) -> None:
        """Wait for the work that runs, then end the threads."""
        await self._idle.wait()
        self._pool.shutdown()

    def _enqueue(self, job: _Job) -> None:
        heapq.heappush(self._waiting[job.next_link.key], job)

    def _dispatch(self) -> None:
        """Give the oldest jobs for which there is room to threads that have none."""
        while self._free and (job := self._take_oldest()):
            self._free -= 1
            self._idle.clear()
            self._pool.submit(self._work, job)

    def _take_oldest(self) -> _Job | None:
        """Take the oldest job for which there is room, and the room."""
        oldest: _Job | None = None
        for key, jobs in self._waiting.items():
            while jobs and jobs[0].done.cancelled():
                heapq.heappop(jobs)
            room = self._free_by_key.setdefault(key, self._threads) > 0
            if jobs and room and (oldest is None or jobs[0] < oldest):
                oldest = jobs[0]
        if oldest is not None:
            key = oldest.next_link.key
            heapq.heappop(self._waiting[key])
            self._free_by_key[key] -= 1
        return oldest

    def _work(self, job: _Job) -> None:
        """On a thread: run a link of the job, then whatever is the oldest, until there is nothing."""
        following: _Job | None = job
        while following is not None:
            job, key = following, following.next_link.key
            error = _run_next_link(job)
            ended = error is not None or len(job.results) == len(job.links) or job.done.cancelled()
            with self._lock:
                self._free_by_key[key] += 1
                if not ended:
                    job.submitted = time.perf_counter()
                    self._enqueue(job)
                following = self._take_oldest()
                if following is None:
                    self._free += 1
                self._dispatch()
            if ended:
                self._loop.call_soon_threadsafe(self._deliver, job, error)

    def _deliver(self, job: _Job, error: Exception | None) -> None:
        if not job.done.cancelled():
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(job.results)
        with self._lock:
            if self._free == self._threads:
                self._idle.set()


def _run_next_link(job: _Job) -> Exception | None:
    began = time.perf_counter()
    try:
        value = job.next_link.work()
    except Exception as error:
        return error
    ended = time.perf_counter()
    job.results.append(Timed(value, job.submitted, began - job.submitted, ended - began))
    return None
