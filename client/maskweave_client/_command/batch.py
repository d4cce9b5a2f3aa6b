"""Does the tasks of a verb: one, or many with a progress bar, so that it can be interrupted and resumed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import reduce
from typing import Any

import click
from click.core import ParameterSource

from maskweave_client import MaskweaveError, NotFound, PermissionDenied, Unauthenticated, Unavailable
from maskweave_client._command.connection import Command, explained
from maskweave_client._command.files import Task

_FAILURES = (MaskweaveError, OSError, TypeError, ValueError)
"""What is at fault with one input, not with the command."""

_HOPELESS = (NotFound, PermissionDenied, Unauthenticated, Unavailable)
"""What all that is left would fail with too."""

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--jobs",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="How many files are worked on at a time, of a folder or several files.",
    ),
    click.option(
        "--again", is_flag=True, help="Make what is there already anew, of a folder or several files."
    ),
)


def batch_options(command: Command) -> Command:
    """Give a command the options that `run` takes."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def refuse_batch_options(because_of: str) -> None:
    """Refuse options of `batch_options` that were given where there is one thing to do.

    Args:
        because_of: The option that says so, for the message.

    Raises:
        click.UsageError: One was given.
    """
    context = click.get_current_context()
    for name in ("jobs", "again"):
        if context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT):
            raise click.UsageError(f"--{name}: allowed without {because_of}")


def left_of(tasks: Sequence[Task], *, one: bool, again: bool) -> list[Task]:
    """The tasks whose outputs are not all there; one file for itself is made in any case."""
    if one or again:
        return list(tasks)
    return [task for task in tasks if not all(path.exists() for path in task.outputs)]


def run(
    tasks: Sequence[Task], work: Callable[[Task], str], *, one: bool, jobs: int, there: int, address: str
) -> None:
    """Do the tasks, and say what came of them.

    Args:
        tasks: What is to be done.
        work: Does one, and says in a line what it made.
        one: Whether it is one file for itself.
        jobs: How many at a time.
        there: How many were there already.
        address: The service's, for messages.

    Raises:
        click.ClickException: The one task failed.
        click.exceptions.Exit: Some failed, which has been said.
    """
    if one:
        try:
            click.echo(work(tasks[0]))
        except MaskweaveError:
            raise
        except _FAILURES as error:
            raise click.ClickException(_said(error, address)) from error
        return
    failed, not_tried = _all(tasks, work, jobs, address)
    made = len(tasks) - len(failed) - not_tried
    click.echo(f"{made} made, {there} there already, {len(failed)} failed, {not_tried} not tried")
    for line in failed:
        click.echo(line, err=True)
    if failed:
        click.echo("The same command goes on with what is missing.", err=True)
        raise click.exceptions.Exit(1)


def _all(
    tasks: Sequence[Task], work: Callable[[Task], str], jobs: int, address: str
) -> tuple[list[str], int]:
    """The lines of those that failed, in the order of the tasks, and how many were not tried."""
    failed: dict[int, str] = {}
    stopped = threading.Event()

    def attempt(index: int) -> bool:
        if stopped.is_set():
            return False
        try:
            work(tasks[index])
        except _FAILURES as error:
            failed[index] = f"{tasks[index].source.path}: {_said(error, address)}"
            if isinstance(error, _HOPELESS):
                stopped.set()
        return True

    pool = ThreadPoolExecutor(jobs)
    try:
        waiting: set[Future[bool]] = {pool.submit(attempt, index) for index in range(len(tasks))}
        tried = 0
        with click.progressbar(length=len(tasks), file=sys.stderr, show_pos=True, label="images") as bar:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                tried += sum(each.result() for each in done)
                bar.update(len(done))
    finally:
        # Interrupted, nothing is waited for: the client is closed next, which ends the calls in progress.
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return [failed[index] for index in sorted(failed)], len(tasks) - tried


def _said(error: Exception, address: str) -> str:
    return explained(error, address) if isinstance(error, MaskweaveError) else " ".join(str(error).split())
