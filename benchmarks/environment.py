"""Where and on what a measurement was made: a fingerprint that goes into every result."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("maskweave", "maskweave-client", "grpcio", "numpy", "onnxruntime", "pillow", "protobuf")
# Instruction sets that decide how fast a convolution is.
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")


def fingerprint(model_repository: Path) -> dict[str, Any]:
    """Describe machine, software, source and weights; plain values, ready for JSON.

    Args:
        model_repository: The repository whose `*.onnx` files are identified by their SHA-256.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _git(),
        "models": {
            str(path.relative_to(model_repository)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(model_repository.glob("*/*/*.onnx"))
        },
    }


def _machine() -> dict[str, Any]:
    model, flags = "unknown", set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                model = value
            elif key in {"flags", "Features"}:
                flags.update(value.split())
    return {
        "cpu": model,
        "instruction_sets": [flag for flag in _TELLING_FLAGS if flag in flags],
        "usable_cores": len(os.sched_getaffinity(0)),
        # Other work on the machine makes every figure worse: a load well above 0 at the start is a warning.
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    """Commit of the checkout that holds this file, and whether it had changes; empty outside of one.

    Changes of the documentation, where figures are written one after the other, change nothing that is
    measured.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", ":/", ":(top,exclude)docs")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {}
