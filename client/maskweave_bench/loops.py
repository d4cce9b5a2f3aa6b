"""The two ways of making load. They read the time from the event loop, so that tests can have their own.

An open loop sends at times that were fixed before, whatever the service does, as independent callers do. A
closed loop has a number of clients that each wait for their answer before they ask again: it slows down
together with the service, and a stall of the service is one slow request in it, however many callers it
would have kept waiting.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from maskweave_bench.samples import SKIPPED_LATE, SKIPPED_OUTSTANDING, Sample
from maskweave_bench.schedule import Times

UNANSWERED = "UNANSWERED"
"""Code of a request that was given up at the end of the load, past its own deadline."""

Clock = Callable[[], float]
"""Seconds since the begin of the load."""

Send = Callable[[int, float, Clock], Awaitable[Sequence[Sample]]]
"""Sends request number i, due at a time, and tells what came of it; raises for nothing that counts."""

Take = Callable[[Sample], object]
"""Is given every sample as soon as there is one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client does not go beyond.

    Attributes:
        max_lag: Seconds by which a request may be sent late. One that is later is skipped and counted, so
            that a client that fell behind does not send a bunch that nobody asked for.
        max_outstanding: Requests that may be unanswered at once. What is due beyond is skipped and counted.
        drain_seconds: How long after the last request to wait for answers.
    """

    max_lag: float = 0.1
    max_outstanding: int = 4096
    drain_seconds: float = 60.0


async def open_loop(
    due: Times, numbers: Sequence[int], send: Send, take: Take, *, begin: float, bounds: Bounds
) -> None:
    """Send requests at the times given and wait for all answers.

    Args:
        due: When each is due, in seconds from `begin`.
        numbers: The number of each.
        send: Sends one.
        take: Is given every sample.
        begin: The event loop's time at which the load begins.
        bounds: What not to go beyond.
    """
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return loop.time() - begin

    async def one(number: int, time: float) -> None:
        for sample in await send(number, time, clock):
            take(sample)

    under_way: dict[asyncio.Task[None], tuple[int, float]] = {}

    def ended(task: asyncio.Task[None]) -> None:
        # One that failed stays, to be raised at the end.
        if not task.cancelled() and task.exception() is None:
            del under_way[task]

    for number, time in zip(numbers, due.tolist(), strict=True):
        # Also when it is late already: answers must be read and tasks begun between any two requests.
        await asyncio.sleep(max(0.0, time - clock()))
        now = clock()
        if now - time > bounds.max_lag:
            take(Sample(number, -1, time, math.nan, now, SKIPPED_LATE))
        elif len(under_way) >= bounds.max_outstanding:
            take(Sample(number, -1, time, math.nan, now, SKIPPED_OUTSTANDING))
        else:
            task = loop.create_task(one(number, time))
            under_way[task] = number, time
            task.add_done_callback(ended)
    await _drain(under_way, take, clock, bounds.drain_seconds)


async def closed_loop(
    clients: int,
    seconds: float,
    send: Send,
    take: Take,
    *,
    begin: float,
    bounds: Bounds,
    max_requests: int,
    first_number: int = 0,
    step: int = 1,
) -> None:
    """Keep `clients` requests under way for a while, and wait for the last answers.

    Args:
        clients: Requests under way at any time.
        seconds: No request is begun after.
        send: Sends one.
        take: Is given every sample.
        begin: The event loop's time at which the load begins.
        bounds: Of these, the time to wait for the last answers.
        max_requests: No more are begun.
        first_number: Number of the first request.
        step: Distance of the numbers.
    """
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return loop.time() - begin

    under_way: dict[asyncio.Task[None], tuple[int, float]] = {}
    numbers = count(first_number, step)
    left = max_requests

    async def client() -> None:
        nonlocal left
        task = asyncio.current_task()
        assert task is not None
        while (now := clock()) < seconds and left > 0:
            left -= 1
            number = next(numbers)
            under_way[task] = number, now
            for sample in await send(number, now, clock):
                take(sample)
            del under_way[task]

    await asyncio.sleep(max(0.0, -clock()))
    tasks = [loop.create_task(client()) for _ in range(clients)]
    done, _ = await asyncio.wait(tasks, timeout=max(0.0, seconds - clock()) + bounds.drain_seconds)
    _raise_first(done)
    await _drain(under_way, take, clock, 0.0)


async def _drain(
    under_way: dict[asyncio.Task[None], tuple[int, float]], take: Take, clock: Clock, seconds: float
) -> None:
    """Wait for what is under way; what then still is, is cancelled and counted."""
    if not under_way:
        return
    done, left = await asyncio.wait(under_way.copy(), timeout=seconds)
    for task in left:
        number, time = under_way.pop(task)
        take(Sample(number, -1, time, math.nan, clock(), UNANSWERED))
        task.cancel()
    if left:
        await asyncio.wait(left)
    _raise_first(done)


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    """Raise what a task raised; of several, one: all are asked, so that none is said to be forgotten."""
    failures = [error for task in done if (error := task.exception()) is not None]
    if failures:
        raise failures[0]
