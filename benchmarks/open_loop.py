"""An open loop: requests come at their own times, whether or not those before them have been answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answered(Generic[Result]):
    """One request of an open loop; times in seconds.

    Attributes:
        result: What came of it.
        since_due: From the time at which it was to be sent until its end: what a caller waits.
        since_sent: From the time at which it was sent.
    """

    result: Result
    since_due: float
    since_sent: float


def poisson_arrivals(rate: float, seconds: float, random: np.random.RandomState) -> Iterator[float]:
    """Times at which requests of independent callers come, `rate` a second on average.

    Args:
        rate: Requests per second, more than 0.
        seconds: End of the last interval; times are below it.
        random: Source of the intervals.
    """
    time = float(random.exponential(1 / rate))
    while time < seconds:
        yield time
        time += float(random.exponential(1 / rate))


async def open_loop(
    request: Callable[[int], Awaitable[Result]], arrivals: Iterator[float]
) -> list[Answered[Result]]:
    """Send requests at the times given, counted from now, and wait for all their ends.

    Args:
        request: Sends request number i, from 0, and never raises for what is to be counted.
        arrivals: When each is due, in seconds, ascending.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int, due: float) -> Answered[Result]:
        sent = loop.time() - began
        result = await request(number)
        ended = loop.time() - began
        return Answered(result, ended - due, ended - sent)

    async with asyncio.TaskGroup() as group:
        tasks = []
        for number, due in enumerate(arrivals):
            await asyncio.sleep(max(0.0, began + due - loop.time()))
            tasks.append(group.create_task(one(number, due)))
    return [task.result() for task in tasks]
