"""Writes text to a file descriptor on a thread of its own, so that nobody waits for who reads it.

A pipe that nobody reads, or a disk that hangs, holds up whoever writes to it. Here that is this thread. What
waits for it is bounded in bytes; beyond that, lines are dropped and counted.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

MAX_WAITING_BYTES = 2**23
"""What may wait to be written: some 3500 lines of calls, which are larger before they are made."""

# What a pipe takes in one piece (POSIX's PIPE_BUF on Linux): lines of several writers do not mix.
_BATCH_BYTES = 4096

# Between two batches, so that under load one wake-up writes many lines.
_PAUSE_SECONDS = 0.01

_LOOK_SECONDS = 0.002


_Line = tuple[int, bytes]
"""What a line counted for while it waited, and the line."""


class BackgroundWriter:
    """Writes to one descriptor. Its methods return at once, but for `flush`; any thread may call them.

    Args:
        descriptor: Where to; None for nowhere, where all is dropped.
        max_bytes: What may wait to be written.
        lost: Makes the line that says, once there is room again, how many have been dropped since the last
            such line; None for no such line.
        before: Called, by the thread that writes, before each piece.
    """

    def __init__(
        self,
        descriptor: int | None,
        *,
        max_bytes: int = MAX_WAITING_BYTES,
        lost: Callable[[int], str] | None = None,
        before: Callable[[], object] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._lost = lost
        self._before = before
        # Whoever holds it may be interrupted by the garbage collector, which may log something: reentrant.
        self._lock = threading.RLock()
        self._lines: SimpleQueue[tuple[int, bytes | Callable[[], str]]] = SimpleQueue()  # with their sizes
        self._waiting = 0  # bytes, those that are being written included
        self._dropped = self._told = 0
        self._torn = False  # the last line that came out is not whole
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()

    @property
    def dropped(self) -> int:
        """Lines that were not written: there was no room, or writing failed."""
        return self._dropped

    def write(self, text: str) -> None:
        """Have a text written, a line or several; it is dropped when too much waits already."""
        line = _encoded(text)
        self._put(len(line), line)

    def write_later(self, make: Callable[[], str], size: int) -> None:
        """The same of a text that is made on the thread that writes.

        Args:
            make: Makes it; must not fail.
            size: Bytes that it holds until then.
        """
        self._put(size, make)

    def _put(self, size: int, line: bytes | Callable[[], str]) -> None:
        with self._lock:
            if self._descriptor is None or self._waiting + size > self._max_bytes:
                self._dropped += 1
                return
            self._waiting += size
            self._lines.put((size, line))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, at most so long.

        Returns:
            Whether it is.
        """
        self._hurry.set()
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        self._hurry.clear()
        return not self._waiting

    def _run(self) -> None:
        first: _Line | None = None
        while True:
            batch, first = self._batch(_made(*self._lines.get()) if first is None else first)
            if self._before is not None:
                self._before()
            failed = self._failed_to_write([line for _, line in batch])
            with self._lock:
                self._dropped += failed
                self._waiting -= sum(size for size, _ in batch)
                lost = 0 if self._waiting or failed else self._dropped - self._told
            if lost:
                self._tell_lost(lost)
            if first is None:
                self._hurry.wait(_PAUSE_SECONDS)

    def _batch(self, first: _Line) -> tuple[list[_Line], _Line | None]:
        """The next lines, as many as go out in one piece, and the one after these if it is there already."""
        batch, size = [first], len(first[1])
        while True:
            try:
                line = _made(*self._lines.get_nowait())
            except Empty:
                return batch, None
            size += len(line[1])
            if size > _BATCH_BYTES:
                return batch, line
            batch.append(line)

    def _failed_to_write(self, lines: Sequence[bytes]) -> int:
        """Write lines; how many of them were not written whole because writing failed."""
        assert self._descriptor is not None
        data = b"".join((b"\n" if self._torn else b"", *lines))
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever shares the file has said that nobody waits for it
                select.select((), (self._descriptor,), ())
            except OSError:
                self._torn = self._torn or len(left) < len(data)
                return max(1, bytes(left).count(b"\n"))
        self._torn = False
        return 0

    def _tell_lost(self, count: int) -> None:
        if self._lost is not None and not self._failed_to_write([self._lost(count).encode()]):
            self._told += count


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _made(size: int, line: bytes | Callable[[], str]) -> _Line:
    return size, line if isinstance(line, bytes) else _encoded(line())
