"""Bounds the requests that may be on their way at the same time, and with them the memory that they take.

gRPC keeps what has arrived of a message until the rest is there. It asks a caller to send only once somebody
waits for the message; until then a few of its frames are all that is held. So a call waits for its message
only after it was given a place here: of those in all, and of those of its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PendingMessages:
    """Places for calls whose request has not arrived. Belongs to one event loop.

    Args:
        in_all: How many there are.
        per_caller: How many of them one caller may have.
    """

    def __init__(self, *, in_all: int, per_caller: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._per_caller = per_caller
        self._callers: dict[str, _Caller] = {}

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Have a place inside this context; waits for one in the order in which calls came."""
        mine = self._callers.setdefault(caller, _Caller(self._per_caller))
        mine.calls += 1
        try:
            async with mine.places, self._all:
                yield
        finally:
            mine.calls -= 1
            if not mine.calls:
                del self._callers[caller]


class _Caller:
    """The places of one caller, and how many calls have or want one."""

    __slots__ = ("calls", "places")

    def __init__(self, places: int) -> None:
        self.calls = 0
        self.places = asyncio.Semaphore(places)
