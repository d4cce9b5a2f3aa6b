"""How a worker thread learns that nobody waits for its work any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


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
                condition.wait(self._seconds_left())
        finally:
            self._waits_on = None

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return min(self._deadline - time.monotonic(), threading.TIMEOUT_MAX)
