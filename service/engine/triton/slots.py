"""Bounds the calls that are on the wire, so that what waits does so where it can still be dropped.

Triton takes a cancelled call out of a model's queue, but not out of the queues of an ensemble's steps, and an
expired one only when the model is next free. Calls that have not been sent cost nothing to give up.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.engine.age import Age


@dataclass(order=True, slots=True)
class _Waiter:
    age: Age
    turn: asyncio.Future[None] = field(compare=False)


class Slots:
    """So many calls at a time; of those that wait, the smallest age goes first.

    Args:
        count: Calls at a time.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def take(self, age: Age) -> AsyncIterator[None]:
        """Hold a slot inside this context; wait for one before."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(age)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, age: Age) -> None:
        waiter = _Waiter(age, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self._pass_on()  # the slot had just been given to it
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = heapq.heappop(self._waiting)
            if not waiter.turn.done():
                waiter.turn.set_result(None)
                return
        self._free += 1
