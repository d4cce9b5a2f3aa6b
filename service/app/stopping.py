"""The end of the gRPC server, in an order in which every caller hears from us.

gRPC kills the calls that cross its shutdown: those in its own queue, and those sent before the GOAWAY has
reached the caller. They end as CANCELLED (grpc/grpc#41785), which callers do not take as a reason to try
again. So new calls are held for a moment before the shutdown, and refused once the GOAWAY is out: whoever
waits for an answer then, of either kind, sends the next call over another connection.
"""

from __future__ import annotations

import asyncio

import grpc

from service.rpc.calls import Calls

# How long new calls are held: longer than most callers take from one call to the next.
_HELD_SECONDS = 0.3

# From the shutdown to the answer of the held: the GOAWAY must be out first.
_GOAWAY_SECONDS = 0.05

# Kept back from the grace, so that callers whose requests outlast it hear that from us.
_LAST_WORD_SECONDS = 0.1


async def stop_server(server: grpc.aio.Server, calls: Calls, grace_seconds: float) -> None:
    """Take no more calls and return when those in progress have ended, or at the end of the grace."""
    loop = asyncio.get_running_loop()
    end = loop.time() + grace_seconds
    calls.stop(grace_seconds=max(grace_seconds - _LAST_WORD_SECONDS, 0))
    await asyncio.sleep(min(_HELD_SECONDS, grace_seconds / 2))
    stopping = asyncio.create_task(server.stop(max(end - loop.time(), 0)))
    await asyncio.wait((stopping,), timeout=_GOAWAY_SECONDS)
    calls.refuse_held()
    await stopping
