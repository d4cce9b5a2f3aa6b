"""What the process of a gateway has: CPUs, file descriptors, an interpreter and an event loop."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own control group, of either version."""


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Number of CPUs this process may use, at least 1: its affinity, cut to the container's CPU quota.

    A part of a CPU counts as one, so that the whole quota can be used.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """CPU seconds granted per second by cgroup v2, else by v1; None for no limit."""
    for quota_file, period_file in (
        ("cpu.max", "cpu.max"),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
        ("cpu,cpuacct/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_period_us"),
    ):
        try:
            quota = float((cgroup / quota_file).read_text().split()[0])
            period = float((cgroup / period_file).read_text().split()[-1])
        except (OSError, ValueError, IndexError):  # not this version, or "max"
            continue
        if 0 < quota < math.inf and 0 < period < math.inf:  # v1 writes -1 for no limit
            return quota / period
    return None


MOST_GRPC = 8192
"""Connections to the gRPC port at a time, at most. One takes 16 KiB, whatever its caller has to show."""

MOST_HTTP = 1024
"""Connections to the HTTP port at a time, at most."""

# For models, files, traces and inference servers.
_OTHERS = 64


class ConnectionLimits(NamedTuple):
    """Connections at a time.

    Attributes:
        grpc: To the gRPC port.
        http: To the HTTP port.
    """

    grpc: int
    http: int


def connection_limits() -> ConnectionLimits:
    """What this process's limit of file descriptors leaves for connections."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return ConnectionLimits(MOST_GRPC, MOST_HTTP)
    http = min(limit // 4, MOST_HTTP)
    return ConnectionLimits(max(1, min(limit - http - min(_OTHERS, limit // 4), MOST_GRPC)), max(1, http))


def settle() -> None:
    """Leave what was made until now, and lives as long as the process, out of garbage collection.

    A full collection looked through 90 000 objects of models, contract and libraries, for 50 to 60 ms in
    which nothing else ran. There is none before: it would find next to nothing, and the start would wait.
    """
    gc.freeze()


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
