"""Worker threads: one call is one hand-over to a thread and one back, whatever the call computes.

The threads are daemons, and unlike those of `concurrent.futures` nobody joins them when the interpreter ends:
one that cannot be interrupted (an image library in the middle of a file) must not keep the process from
ending. See `exit_process` for how a process ends beside such a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, NoReturn, TypeVar, cast

from service.core.errors import DeadlineExceeded, MaskweaveError, Unavailable
from service.engine.base import Priority
from service.engine.cancellation import CancelToken, Stopped

_log = logging.getLogger(__name__)

T = TypeVar("T")

INTERRUPT_SECONDS = 0.5
"""How long a close that ran out of its grace waits for threads to notice that they were cancelled."""


class _Job(Generic[T]):
    """One call: what to do, and where to tell what came of it."""

    __slots__ = ("_context", "_error", "_loop", "_value", "_work", "future", "priority", "token")

    def __init__(self, work: Callable[[CancelToken], T], priority: int, token: CancelToken) -> None:
        self.priority = priority
        self.token = token
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()
        self._work = work
        self._context = copy_context()  # what is logged on the thread carries the caller's request id
        self._value: T | None = None
        self._error: BaseException | None = None

    def execute(self) -> None:
        """On a worker thread: do the work."""
        try:
            self.token.check()
            self._value = self._context.run(self._work, self.token)
        except Stopped:
            self._error = _too_late()
        except BaseException as error:
            self._error = error

    def report(self) -> None:
        """On a worker thread: tell what came of it, waking the event loop once."""
        if self.token.cancelled:
            self._report_unheard()
            return
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the event loop is closed: nobody waits
            self._report_unheard()

    def fail(self, error: BaseException) -> None:
        """On the event loop: answer the caller now, whatever the thread is doing."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """On the event loop: the deadline has passed."""
        self.fail(_too_late())

    def _deliver(self) -> None:
        # Without the reference a failure, its traceback and this job would keep each other alive.
        error, self._error = self._error, None
        if error is not None:
            self.fail(error)
        elif not self.future.done():
            self.future.set_result(cast(T, self._value))

    def _report_unheard(self) -> None:
        """Log a fault of our own that no caller is left to hear of."""
        error, self._error = self._error, None
        if error is not None and not isinstance(error, MaskweaveError):
            self._context.run(_log.error, "abandoned work failed", exc_info=error)


class Workers:
    """Threads that take work by priority, then by age. Belongs to the event loop that makes it.

    Args:
        threads: How many.
        name: What their names begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._lock = threading.Lock()  # guards everything down to `_alive`
        self._waiting: dict[int, OrderedDict[_Job[Any], None]] = {
            priority: OrderedDict() for priority in sorted(Priority)
        }
        self._running: dict[_Job[Any], float] = {}  # with the time at which each began
        self._busy_seconds = 0.0
        self._closing = False
        self._alive = threads
        # An entry for each job, and one for each thread at the end: what idle threads wait for. A condition
        # would do the same with a lock for each waiter and three changes of threads where here is one.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._threads = [
            _WorkerThread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How much work waits for a thread."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """How many threads are at work. May be asked for on any thread."""
        return len(self._running)

    def at_most(self, threads: int) -> bool:
        """Whether no more than so many threads are at work. May be asked for on any thread."""
        return len(self._running) <= threads

    @property
    def busy_seconds(self) -> float:
        """Time that all threads together have worked, what they are at included."""
        with self._lock:
            now = time.perf_counter()
            return self._busy_seconds + sum(now - began for began in self._running.values())

    async def run(
        self,
        work: Callable[[CancelToken], T],
        *,
        priority: Priority = Priority.INTERACTIVE,
        timeout: float | None = None,  # noqa: ASYNC109 - as gRPC has it
    ) -> T:
        """Run `work` on a thread and give what it returns.

        Cancelling the call and its timeout return at once. Work that has not begun never begins; work that
        has is told through its token, and keeps its thread until it ends.

        Args:
            work: Gets a token that says whether anybody still waits.
            priority: Which of the calls that wait for a thread goes first.
            timeout: Seconds until the caller gives up; None for no limit.

        Raises:
            DeadlineExceeded: The timeout passed.
            Unavailable: The workers are closed.
            Exception: Whatever the work raised.
        """
        if timeout is not None and timeout <= 0:
            raise DeadlineExceeded("The deadline had passed before the work began.")
        job = _Job(work, priority, CancelToken(None if timeout is None else time.monotonic() + timeout))
        with self._lock:
            if self._closing:
                raise Unavailable("The engine is not running.")
            self._waiting[priority][job] = None
        self._calls.put(None)
        timer = None if timeout is None else self._loop.call_later(timeout, job.expire)
        finished = False
        try:
            value = await job.future
            finished = True
            return value
        finally:
            if timer is not None:
                timer.cancel()
            if not finished:
                self._abandon(job)

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` done on a thread some time; nobody waits for it. Nothing happens once closed."""
        job = _Job(partial(_posted, work), Priority.INTERACTIVE, CancelToken())
        with self._lock:
            if self._closing:
                return
            self._waiting[job.priority][job] = None
        self._calls.put(None)

    async def close(self, grace_seconds: float, interrupt: Callable[[], object] | None = None) -> bool:
        """Take no more work and end the threads. Safe to call twice.

        Args:
            grace_seconds: How long what runs or waits may go on. Then its callers get `Unavailable`, what
                waits is dropped and what runs is told to stop.
            interrupt: Called when the grace is over, to cut short what no token reaches.

        Returns:
            Whether every thread has ended; if not, it is in the middle of something that nothing interrupts.
        """
        with self._lock:
            if not self._closing:
                self._closing = True
                for _ in self._threads:
                    self._calls.put(None)
        if await self._ended_within(grace_seconds):
            return True
        with self._lock:
            left = [*self._running, *(job for jobs in self._waiting.values() for job in jobs)]
            for jobs in self._waiting.values():
                jobs.clear()
        for job in left:
            job.fail(Unavailable("The engine is shutting down."))
            job.token.cancel()
        if interrupt is not None:
            interrupt()
        return await self._ended_within(INTERRUPT_SECONDS)

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        for thread in self._threads:
            thread.join()  # each has said that it leaves
        return True

    def _abandon(self, job: _Job[Any]) -> None:
        with self._lock:
            self._waiting[job.priority].pop(job, None)
        job.token.cancel()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.execute()
            with self._lock:
                # Before it is reported: who asks for more at once must not find this thread at work.
                self._busy_seconds += time.perf_counter() - self._running.pop(job)
            job.report()
            del job  # hold nothing while waiting
        with self._lock:
            self._alive -= 1
            last = not self._alive
        if last:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:  # the event loop is closed
                return

    def _next(self) -> _Job[Any] | None:
        """Wait for a job; None at the end."""
        while True:
            self._calls.get()
            with self._lock:
                for jobs in self._waiting.values():
                    if jobs:
                        job, _ = jobs.popitem(last=False)
                        self._running[job] = time.perf_counter()
                        return job
                # What this call was for has been abandoned, or this is the end.
                if self._closing:
                    return None


class _WorkerThread(threading.Thread):
    """Known by its type to `exit_process`."""


def exit_process(status: int) -> NoReturn:
    """End the process, at once when a worker thread runs on after its engine was closed.

    Until Python 3.14 a thread that comes back from C++ code (ONNX Runtime's, OpenCV's) while the interpreter
    goes down is ended by force in the middle of it, which aborts the process: status 134 instead of ours.
    """
    logging.shutdown()  # what is not written yet, whoever has started the process and however it ends
    if any(isinstance(thread, _WorkerThread) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _posted(work: Callable[[], object], _: CancelToken) -> None:
    try:
        work()
    except Exception:
        _log.exception("work in the background failed")


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The deadline passed before the work was done.")
