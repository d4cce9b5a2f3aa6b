"""Counts the calls in progress, so that an engine can wait for their end before it closes."""

from __future__ import annotations

import asyncio
from types import TracebackType


class InFlight:
    """A context for each call; `drained` waits until none is left."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def drained(self) -> None:
        """Wait until no call is in progress."""
        await self._none.wait()
