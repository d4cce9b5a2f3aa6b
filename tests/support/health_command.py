"""`maskweave health`, as a container's health check runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple


class Done(NamedTuple):
    """How it ended: exit code, standard output and standard error."""

    code: int
    output: str
    message: str


def health(*arguments: object, **environment: str) -> Done:
    """Run the command."""
    done = subprocess.run(
        [sys.executable, "-m", "maskweave_cli", "health", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Done(done.returncode, done.stdout, done.stderr)
