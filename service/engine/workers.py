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
from typing import Any, Generic, NoReturn, TypeVar, cast

from service.core.errors import DeadlineExceeded, MaskweaveError, Unavailable
from service.engine.base import Priority

_log = logging.getLogger(__name__)

T = TypeVar("T")

_INTERRUPT_SECONDS = 0.5
"""How long a close that ran out of its grace waits for threads to notice that they were cancelled."""


class Stopped(BaseException):
    """Raised on a worker thread to leave work for which nobody waits any more.

    Not an `Exception`, so that no handler of a failure takes it for one.
    """


class CancelToken:
    """Tells a worker thread when nobody waits for its result any more: the call was cancelled or is too late.

    Args:
        deadline: On the clock of `time.monotonic`; None for no limit.

    Attributes:
        interrupt: Called on cancellation, from another thread, to cut short what the worker is doing.
    """

    __slots__ = ("_cancelled", "_deadline", "_waits_on", "interrupt")

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._cancelled = False
        self._waits_on: threading.Condition | None = None
        self.interrupt: Callable[[], object] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled."""
        return self._cancelled

    @property
    def waiting(self) -> bool:
        """Whether the worker is in `wait_for`."""
        return self._waits_on is not None

    def cancel(self) -> None:
        """Have the worker stop: at its next `check`, and at once where it waits or can be interrupted."""
        self._cancelled = True
        # The worker sets what is read here before it looks at the flag: one of the two sees the other.
        waits_on, interrupt = self._waits_on, self.interrupt
        if interrupt is not None:
            interrupt()
        if waits_on is not None:
            with waits_on:
                waits_on.notify_all()

    def check(self) -> None:
        """Raise `Stopped` when nobody waits any more.

        Raises:
            Stopped: The call was cancelled, or its deadline has passed.
        """
        if self._cancelled or (self._deadline is not None and time.monotonic() >= self._deadline):
            raise Stopped

    def wait_for(self, condition: threading.Condition, ready: Callable[[], bool]) -> None:
        """Wait, on the worker thread, until `ready()`; `condition` is held and is notified of every change.

        Raises:
            Stopped: The call was cancelled, or its deadline passed meanwhile.
        """
        self._waits_on = condition
        try:
            while not ready():
                self.check()
                condition.wait(None if self._deadline is None else self._deadline - time.monotonic())
        finally:
            self._waits_on = None


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
        """On a worker thread: do the work and wake the event loop once."""
        try:
            self.token.check()
            self._value = self._context.run(self._work, self.token)
        except Stopped:
            self._error = _too_late()
        except BaseException as error:
            self._error = error
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
        self._changed = threading.Condition()  # guards everything down to `_alive`
        self._waiting: dict[int, OrderedDict[_Job[Any], None]] = {
            priority: OrderedDict() for priority in sorted(Priority)
        }
        self._running: set[_Job[Any]] = set()
        self._closing = False
        self._alive = threads
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
        with self._changed:
            return sum(map(len, self._waiting.values()))

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
        with self._changed:
            if self._closing:
                raise Unavailable("The engine is not running.")
            self._waiting[priority][job] = None
            self._changed.notify()
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
        with self._changed:
            if not self._closing:
                self._waiting[job.priority][job] = None
                self._changed.notify()

    async def close(self, grace_seconds: float, interrupt: Callable[[], object] | None = None) -> bool:
        """Take no more work and end the threads. Safe to call twice.

        Args:
            grace_seconds: How long what runs or waits may go on. Then its callers get `Unavailable`, what
                waits is dropped and what runs is told to stop.
            interrupt: Called when the grace is over, to cut short what no token reaches.

        Returns:
            Whether every thread has ended; if not, it is in the middle of something that nothing interrupts.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if await self._ended_within(grace_seconds):
            return True
        with self._changed:
            left = [*self._running, *(job for jobs in self._waiting.values() for job in jobs)]
            for jobs in self._waiting.values():
                jobs.clear()
        for job in left:
            job.fail(Unavailable("The engine is shutting down."))
            job.token.cancel()
        if interrupt is not None:
            interrupt()
        return await self._ended_within(_INTERRUPT_SECONDS)

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
        with self._changed:
            self._waiting[job.priority].pop(job, None)
        job.token.cancel()

    def _work(self) -> None:
        job: _Job[Any] | None = None
        while (job := self._next(job)) is not None:
            job.execute()
        with self._changed:
            self._alive -= 1
            last = not self._alive
        if last:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:  # the event loop is closed
                return

    def _next(self, done: _Job[Any] | None) -> _Job[Any] | None:
        """Give back a job and wait for another; None at the end."""
        with self._changed:
            if done is not None:
                self._running.discard(done)
                done = None  # hold nothing while waiting
            while True:
                for jobs in self._waiting.values():
                    if jobs:
                        job, _ = jobs.popitem(last=False)
                        self._running.add(job)
                        return job
                if self._closing:
                    return None
                self._changed.wait()


class _WorkerThread(threading.Thread):
    """Known by its type to `exit_process`."""


def exit_process(status: int) -> NoReturn:
    """End the process, at once when a worker thread runs on after its engine was closed.

    Until Python 3.14 a thread that comes back from C++ code (ONNX Runtime's, OpenCV's) while the interpreter
    goes down is ended by force in the middle of it, which aborts the process: status 134 instead of ours.
    """
    if any(isinstance(thread, _WorkerThread) for thread in threading.enumerate()):
        logging.shutdown()
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
