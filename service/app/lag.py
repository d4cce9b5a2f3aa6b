"""Measures the lag of the event loop: by how much it is late for what it was asked to do at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_INTERVAL_SECONDS = 0.1


@asynccontextmanager
async def measured_lag(late: Callable[[float], object]) -> AsyncIterator[None]:
    """Measure the lag of this event loop inside this context, ten times a second.

    Args:
        late: Told the seconds of each lag.
    """
    task = asyncio.create_task(_measure(late))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _measure(late: Callable[[float], object]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _INTERVAL_SECONDS
        await asyncio.sleep(_INTERVAL_SECONDS)
        late(max(loop.time() - due, 0.0))
