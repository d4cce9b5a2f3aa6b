"""`maskweave health`, as a container's health check runs it."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.forked_python import run_program


class Done(NamedTuple):
    """How it ended: exit code, standard output and standard error."""

    code: int
    output: str
    message: str


def health(*arguments: object, **environment: str) -> Done:
    """Run the command."""
    done = run_program("-m", "maskweave_cli", "health", *arguments, environment=environment)
    return Done(done.returncode, done.stdout, done.stderr)
