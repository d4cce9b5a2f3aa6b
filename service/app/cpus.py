"""How many CPUs this process may use. Why no library tells: docs/decisions/0014."""

from __future__ import annotations

import math
import os
from pathlib import Path

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
