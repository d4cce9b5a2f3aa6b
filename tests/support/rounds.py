"""Run tests over and over on a busy machine: `python -m tests.support.rounds ROUNDS PYTEST-ARGUMENTS`.

What depends on luck or on the machine's speed does not pass ten rounds in a row.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_processors() -> Iterator[None]:
    """Inside this context a process on each processor does nothing, as fast as it can."""
    context = multiprocessing.get_context("spawn")
    spinning = [context.Process(target=_spin, daemon=True) for _ in os.sched_getaffinity(0)]
    for each in spinning:
        each.start()
    try:
        yield
    finally:
        for each in spinning:
            each.kill()


def main(arguments: Sequence[str]) -> int:
    """Say a line for each round, and all that was printed for one that fails, which is the last.

    Returns:
        Its exit code; 0 if all pass.
    """
    rounds, options = int(arguments[0]), arguments[1:]
    with busy_processors():
        for number in range(1, rounds + 1):
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            seconds = time.monotonic() - began
            outcome = "passed" if done.returncode == 0 else "failed"
            print(f"round {number} of {rounds}: {outcome}, {seconds:.0f} s", flush=True)
            if done.returncode:
                print(done.stdout, flush=True)
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
