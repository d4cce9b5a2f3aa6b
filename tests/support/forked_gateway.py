"""`maskweave serve`, forked from a process that has imported everything: see `forked_python`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from tests.support.forked_python import context, run


class ForkedGateway:
    """A process that is used like `subprocess.Popen`; its output and errors are one text.

    Args:
        arguments: What comes after `maskweave`.
        environment: All its variables.

    Attributes:
        stdout: What it prints.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        reader, writer = context.Pipe(duplex=False)
        # A daemon ends with the tests, whatever happens to them.
        command = ["-m", "maskweave_cli", *arguments]
        self._process = context.Process(
            target=run, args=(command, dict(environment), [writer] * 2), daemon=True
        )
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, the negative number of a signal that ended it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: if it does not end in so many seconds.
        """
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired("maskweave", timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and the server of forks has not yet said how
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it whatever it does."""
        self.send_signal(signal.SIGKILL)
