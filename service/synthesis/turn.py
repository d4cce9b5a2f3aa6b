"""The turn of one image: it ends when its worker is free again, not when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class Turn:
    """Whether a worker is busy with a task: also after its call was cancelled, until it notices.

    Another image is begun only then. Otherwise those who send work and take it back would have more workers
    than their share, and what is begun would wait for them.
    """

    __slots__ = ("_begun", "_lock", "_loop", "_over", "_then")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._begun = self._over = False
        self._then: Callable[[], object] | None = None

    def begin(self) -> bool:
        """On a worker: take the task up; False when nobody waits for it any more."""
        with self._lock:
            self._begun = not self._over
            return self._begun

    def end(self) -> None:
        """On a worker: the task is over, one way or the other."""
        with self._lock:
            self._over = True
            then = self._then
        if then is not None:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits
                self._loop.call_soon_threadsafe(then)

    def when_over(self, then: Callable[[], object]) -> None:
        """On the event loop: call `then` once the task is over, at once if it is, or has not begun."""
        with self._lock:
            busy = self._begun and not self._over
            if busy:
                self._then = then
            self._over = not busy
        if not busy:
            then()
