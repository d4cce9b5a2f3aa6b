"""A process in namespaces of the kernel's own, as container engines start them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_START_SECONDS = 10
_STOP_SECONDS = 60


def tool(name: str) -> str:
    """The full path of a program of this machine: the variables of what is started are another machine's."""
    found = shutil.which(name)
    assert found, f"{name} is missing"
    return found


class NamespacedProcess:
    """A shell script that is number 1 of its own process namespace; what it prints is kept.

    Args:
        options: What `unshare` is asked for beside the process namespace.
        script: What the shell runs; it ends with `exec`.
        environment: All its variables.
    """

    def __init__(self, options: Sequence[str], script: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [tool("unshare"), *options, "--pid", "--fork", tool("sh"), "-c", script],
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has printed."""
        return "".join(self._lines)

    @property
    def first_process(self) -> int:
        """The machine's number of the process that is number 1 inside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if numbers := children.read_text().split():
                return int(numbers[0])
            time.sleep(0.02)
        raise AssertionError(f"no process was started:\n{self.output}")

    def beside(
        self, options: Sequence[str], command: Sequence[object], environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in those of its namespaces that the options of `nsenter` name."""
        return subprocess.run(
            [tool("nsenter"), "--target", str(self.first_process), *options, *map(str, command)],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=_STOP_SECONDS,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to process 1, as an engine does to stop a container."""
        os.kill(self.first_process, number)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait for its end, at most so long, and return its exit code."""
        code = self.process.wait(seconds)
        self._close()
        return code

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            os.kill(self.first_process, signal.SIGKILL)  # it takes all others with it; `unshare` follows
            self.process.wait()
        self._close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(iter(self.process.stdout.readline, ""))

    def _close(self) -> None:
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self._reader.join(_STOP_SECONDS)
            self.process.stdout.close()
