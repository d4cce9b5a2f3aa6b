"""The client's machine and software, as far as they bear on figures."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("maskweave-client", "maskweave", "grpcio", "protobuf", "numpy", "hdrhistogram")


def fingerprint(labels: Mapping[str, str]) -> dict[str, Any]:
    """What a reader of the figures wants to know of the machine that made them.

    Args:
        labels: What the user adds, for example the service's revision or its threads.
    """
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cgroup_cpus": cgroup_cpus(Path("/sys/fs/cgroup")),
        "cgroup_memory_bytes": cgroup_memory(Path("/sys/fs/cgroup")),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "gpus": _gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "labels": dict(labels),
    }


def cgroup_cpus(root: Path) -> float | None:
    """How many CPUs the control group allows, of either version; None without a limit."""
    quota, period = [*_read(root / "cpu.max").split(), "max", ""][:2]
    if quota == "max":
        quota = _read(root / "cpu" / "cpu.cfs_quota_us").strip()
        period = _read(root / "cpu" / "cpu.cfs_period_us").strip()
    try:
        cpus = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cpus if cpus > 0 else None


def cgroup_memory(root: Path) -> int | None:
    """How many bytes of memory the control group allows, of either version; None without a limit."""
    for file in (root / "memory.max", root / "memory" / "memory.limit_in_bytes"):
        text = _read(file).strip()
        if text.isdigit() and int(text) < 2**60:
            return int(text)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _cpu() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
