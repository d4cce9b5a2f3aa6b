"""Memory of a process on this machine."""

from __future__ import annotations

from pathlib import Path


def memory_mib(pid: int) -> float:
    """MiB that a process holds: pages that it has alone, and its part of those that it shares (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def resident_mib(pid: int) -> float:
    """MiB of a process that are in memory, shared pages included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")
