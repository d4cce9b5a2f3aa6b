"""Python programs, forked from a process that has imported what they need, one for each worker.

Most of what a short program takes is its imports. A forked program is a process of its own all the same, with
its own arguments, variables, working directory, output, sockets and signals.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

FRESH_VARIABLE = "MASKWEAVE_TESTS_FRESH"
"""With this variable nothing is forked: what is measured in processes must see each from its start."""

_END_SECONDS = 120

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "service.app.run",
        "service.cli",
        "service.status_cli",
        "maskweave_client",
        "PIL.Image",
    ]
)


def run_program(
    *arguments: object, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Do as `python ARGUMENTS` does, to its end.

    Args:
        arguments: `-m` and a module, or a script; then its own.
        environment: Variables besides.
        folder: Its working directory; None for the tests'.

    Raises:
        subprocess.TimeoutExpired: It does not end in two minutes.
    """
    command, variables = [*map(str, arguments)], {**os.environ, **(environment or {})}
    if FRESH_VARIABLE in os.environ:
        return subprocess.run(
            [sys.executable, *command],
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_END_SECONDS,
        )
    outputs = [_Output(), _Output()]
    process = context.Process(
        target=run, args=(command, variables, [each.writer for each in outputs], folder), daemon=True
    )
    process.start()
    for each in outputs:
        each.begin()
    try:
        texts = [each.text() for each in outputs]
        process.join(_END_SECONDS)
        if process.exitcode is None:
            raise subprocess.TimeoutExpired(command, _END_SECONDS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


class _Output:
    """What another process writes, read while it does.

    Attributes:
        writer: Where it writes.
    """

    def __init__(self) -> None:
        self._reader, self.writer = context.Pipe(duplex=False)
        self._text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def begin(self) -> None:
        """Read; the other process has its writer."""
        self.writer.close()
        self._thread.start()

    def text(self) -> str:
        """All that it has written, once it has closed its end or its time is over."""
        self._thread.join(_END_SECONDS)
        return self._text

    def _read(self) -> None:
        with os.fdopen(os.dup(self._reader.fileno()), encoding="utf-8") as stream:
            self._text = stream.read()
        self._reader.close()


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    outputs: Sequence[Connection],
    folder: Path | None = None,
) -> None:
    """In the new process: become `python COMMAND`.

    Args:
        command: As for `run_program`.
        variables: All its variables.
        outputs: What takes its output and its errors.
        folder: Its working directory; None for the tests'.
    """
    os.environ.clear()
    os.environ.update(variables)
    for descriptor, output in zip((1, 2), outputs, strict=True):
        os.dup2(output.fileno(), descriptor)
    for output in {id(each): each for each in outputs}.values():
        output.close()
    if folder is not None:
        os.chdir(folder)
    if command[0] == "-m":
        sys.argv = list(command[1:])
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(command)
        sys.path.insert(0, str(Path(command[0]).parent))
        runpy.run_path(command[0], run_name="__main__")
