"""Runs the command of an image as a container engine would, with the kernel's own means."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.namespaces import NamespacedProcess, tool

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


class Container(NamespacedProcess):
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
            **{name: tool(name) for name in ("chroot", "mount", "setpriv")},
        )
        super().__init__(("--mount", "--ipc", "--uts"), script, self._environment)

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
        options = ("--pid", "--mount", "--root", "--wd", "--setuid", self._user, "--setgid", self._group)
        return self.beside(options, command, self._environment)

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
