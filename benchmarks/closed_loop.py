"""A closed loop: each of some number of clients sends its next request when its last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LoopResult(Generic[Result]):
    """What a closed loop measured.

    Attributes:
        clients: How many clients there were.
        seconds: How long the measured part took.
        results: Of the requests that both began and ended in it.
    """

    clients: int
    seconds: float
    results: list[Result]

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return len(self.results) / self.seconds


async def closed_loop(
    request: Callable[[int], Awaitable[Result]],
    *,
    clients: int,
    seconds: float,
    warmup_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> LoopResult[Result]:
    """Keep `clients` requests under way for a while.

    Args:
        request: Sends request number i, counted from 0 over all clients, the warm-up's included.
        clients: Requests under way at any time.
        seconds: Duration of the measured part. A request under way at its end is waited for and not counted.
        warmup_seconds: Duration of the same load before it, whose results are dropped.
        clock: Tells the time in seconds.

    Raises:
        Exception: Whatever a request raises ends the loop: a benchmark with failures measures something else.
    """
    numbers = count()
    begin = clock() + warmup_seconds
    end = begin + seconds
    results: list[Result] = []

    async def client() -> None:
        while (started := clock()) < end:
            result = await request(next(numbers))
            if started >= begin and clock() <= end:
                results.append(result)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return LoopResult(clients, seconds, results)
