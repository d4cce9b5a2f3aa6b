"""Runs the command of an image as a container engine would, with the kernel's own means."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START_SECONDS = 10
_STOP_SECONDS = 30

# What an engine does before the image's command, which takes the place of this shell. Tools have their full
# path, because the variables are already the image's.
_START = """
set -e
{mount} --bind {root} {root}
cd {root}
{mount} -t proc proc proc
{mount} -t tmpfs -o mode=755 tmpfs dev
for device in null zero random urandom; do
    : > dev/$device
    {mount} --bind /dev/$device dev/$device
done
{mount} -o remount,bind,ro dev
{mount} -o remount,bind,ro {root}
exec {setpriv} --no-new-privs {chroot} --userspec={user} --groups= {root} {command}
"""


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing"
    return found


class Container:
    """A running container: namespaces of its own, the image's user, a root that cannot be written.

    No folder at all can be written, not even for temporary files. The network is the machine's.

    Args:
        root: The image's files.
        configuration: The image's configuration.
        environment: Variables on top of the image's.
    """

    def __init__(self, root: Path, configuration: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._configuration = configuration
        self._environment = dict(each.split("=", 1) for each in configuration["Env"]) | dict(environment)
        self._user, self._group = configuration["User"].split(":")
        script = _START.format(
            root=shlex.quote(str(root)),
            user=configuration["User"],
            command=shlex.join([*configuration["Entrypoint"], *configuration["Cmd"]]),
            **{name: _tool(name) for name in ("chroot", "mount", "setpriv")},
        )
        namespaces = ("--pid", "--fork", "--mount", "--ipc", "--uts")
        self.process = subprocess.Popen(
            [_tool("unshare"), *namespaces, _tool("sh"), "-c", script],
            env=self._environment,
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
        for _ in range(_START_SECONDS * 50):
            numbers = children.read_text().split()
            if numbers:
                return int(numbers[0])
            time.sleep(0.02)
        raise AssertionError(f"no process was started:\n{self.output}")

    def command_lines(self) -> list[str]:
        """The processes inside, each with its arguments."""
        namespace = Path(f"/proc/{self.first_process}/ns/pid").readlink()
        lines = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "ns/pid").readlink() == namespace:
                    lines.append((folder / "cmdline").read_text().replace("\0", " ").strip())
            except OSError:
                continue  # it has just ended
        return lines

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user."""
        enter = [_tool("nsenter"), "--target", str(self.first_process), "--pid", "--mount", "--root", "--wd"]
        user = ["--setuid", self._user, "--setgid", self._group]
        return subprocess.run(
            [*enter, *user, *command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_STOP_SECONDS,
        )

    def check_health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's own health check."""
        kind, *command = self._configuration["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(command)

    def wait_until_healthy(self) -> float:
        """Wait for the health check to succeed, and return the seconds since this call."""
        began = time.monotonic()
        while time.monotonic() - began < self._configuration["Healthcheck"]["StartPeriod"] / 1e9:
            assert self.process.poll() is None, f"it ended:\n{self.output}"
            if self.check_health().returncode == 0:
                return time.monotonic() - began
        raise AssertionError(f"not healthy in time: {self.check_health()}\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to process 1, as an engine does to stop a container."""
        os.kill(self.first_process, number)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(_STOP_SECONDS)
        self._close()
        return code

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            # Process 1 takes all others with it; `unshare` follows.
            os.kill(self.first_process, signal.SIGKILL)
            self.process.wait()
        self._close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(iter(self.process.stdout.readline, ""))

    def _close(self) -> None:
        self._reader.join(_STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running_container(
    root: Path, configuration: Mapping[str, Any], **environment: str
) -> Iterator[Container]:
    """A container that is killed at the end of this context if it still runs."""
    container = Container(root, configuration, environment)
    try:
        yield container
    finally:
        container.kill()
