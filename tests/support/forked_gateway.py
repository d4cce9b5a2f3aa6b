"""`maskweave serve` in a process that is forked from one that has imported everything, one for each worker.

Most of what a small gateway's start takes is its imports. A forked gateway is a process of its own all the
same, with its own arguments, variables, output, sockets and signals.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["service.app.run", "service.cli"])


class ForkedGateway:
    """A process that is used like `subprocess.Popen`; its output and errors are one text.

    Args:
        arguments: What comes after `maskweave`.
        environment: All its variables.

    Attributes:
        stdout: What it prints.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        reader, writer = _context.Pipe(duplex=False)
        # A daemon ends with the tests, whatever happens to them.
        self._process = _context.Process(
            target=_run, args=(list(arguments), dict(environment), writer), daemon=True
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
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it whatever it does."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], environment: dict[str, str], output: Connection) -> None:
    """In the new process: become `python -m maskweave_cli`."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    sys.argv = ["maskweave", *arguments]
    runpy.run_module("maskweave_cli", run_name="__main__")
