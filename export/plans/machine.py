"""What plans depend on: a machine's GPUs and TensorRT. `python3 -m export.plans.machine` prints them."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARY = "libnvinfer.so.*"
USUAL_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/tensorrt/lib")
QUERY = ("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")


class MachineError(RuntimeError):
    """Something about the machine cannot be found out; the message says what, in one line."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that serves plans.

    Attributes:
        compute_capabilities: of its GPUs, like "9.0", each once.
        tensorrt_version: of the library a server would load, like "10.13.3".
    """

    compute_capabilities: tuple[str, ...]
    tensorrt_version: str


def this_machine(compute_capability: str | None = None, tensorrt_version: str | None = None) -> Machine:
    """Find out what this machine is.

    Args:
        compute_capability: taken for granted instead of asking the driver.
        tensorrt_version: taken for granted instead of asking the library.

    Raises:
        MachineError: if there is no GPU, driver or TensorRT library to ask.
    """
    capabilities = (compute_capability,) if compute_capability else gpu_compute_capabilities()
    return Machine(capabilities, tensorrt_version or library_version())


def gpu_compute_capabilities() -> tuple[str, ...]:
    """Compute capabilities of the GPUs the driver shows, in order, each once.

    Raises:
        MachineError: if the driver's tool is missing, fails or shows no GPU.
    """
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        raise MachineError(
            "nvidia-smi is not installed: no NVIDIA driver, or no GPU in this container"
        ) from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"`{' '.join(QUERY)}` failed: {error}") from None
    found = tuple(dict.fromkeys(line.strip() for line in done.stdout.splitlines() if line.strip()))
    if not found or not all(re.fullmatch(r"\d+\.\d", one) for one in found):
        raise MachineError(f"`{' '.join(QUERY)}` gave {done.stdout!r}, expected lines like '9.0'")
    return found


def library_version() -> str:
    """Version of the TensorRT library that a program here would load.

    Raises:
        MachineError: if there is none, or several whose order cannot be told.
    """
    folders = [*filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")), *USUAL_FOLDERS]
    found = [file for folder in folders for file in sorted(Path(folder).glob(LIBRARY))]
    majors = {file.name.removeprefix(LIBRARY[:-1]).partition(".")[0] for file in found}
    if not majors:
        raise MachineError(f"TensorRT is not installed: no {LIBRARY} in {', '.join(folders)}")
    if len(majors) > 1:
        listed = ", ".join(sorted(majors))
        raise MachineError(f"TensorRT libraries of versions {listed}: say which with --tensorrt-version")
    return version_text(ctypes.CDLL(str(found[0])).getInferLibVersion())


def version_text(number: int) -> str:
    """What `getInferLibVersion`'s number says: 101303 is "10.13.3"; before release 10, 8601 was "8.6.1"."""
    major, rest = divmod(number, 10_000 if number >= 100_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def main() -> int:
    """Print what can be found out of this machine; the exit code is 1 if something cannot."""
    missing = 0
    for name, find in (
        ("compute capability", lambda: ", ".join(gpu_compute_capabilities())),
        ("TensorRT", library_version),
    ):
        try:
            print(f"{name}: {find()}")
        except MachineError as error:
            print(f"{name}: {error}")
            missing = 1
    return missing


if __name__ == "__main__":
    sys.exit(main())
