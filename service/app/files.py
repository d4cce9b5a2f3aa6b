"""Small files that operators provide (keys, certificates): read whole, watched, reloaded when they change.

The kernel's notices, by `watchfiles`, tell when to look, and the files' state tells whether anything has
changed. Notices alone are not enough: mounted secrets change by a swap of links, directories are deleted and
made again, network file systems send none, and a machine may have run out of watches. So the state is also
looked at now and then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from watchfiles import awatch

from service.core.errors import ConfigurationError
from service.core.metrics import Metrics

Stamp = tuple[tuple[int, ...] | None, ...]
"""Of each file what changes with its content; None for one that is not there."""


def stamp(paths: Iterable[Path]) -> Stamp:
    """The state of files, to compare with a later one; that of the files at the end of all links."""
    return tuple(map(_stamp, paths))


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a small file.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger than allowed.
    """
    # Without waiting for the other end, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(0, f"it has more than {max_bytes} bytes")
    return content


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


# Changes of a writer who pauses less than this count as one, up to the limit.
_QUIET_MS = 200
_LONGEST_MS = 2000

LOOK_SECONDS = 5.0
"""How long a change can go unseen where the kernel sends no notice of it."""

_MAX_LINKS = 40

Loaded = TypeVar("Loaded")

_logger = logging.getLogger(__name__)


async def changes(paths: Sequence[Path], known: Stamp) -> AsyncGenerator[None]:
    """Wake up each time that files have changed, when they have been quiet for a moment.

    Args:
        paths: The files; they need not exist.
        known: Their state when they were last read.
    """
    told = False
    while True:
        if (found := await asyncio.to_thread(stamp, paths)) != known:
            known = found
            yield
        try:
            async with aclosing(_notices(paths)) as notices:
                async for _ in notices:
                    if (found := await asyncio.to_thread(stamp, paths)) != known:
                        known = found
                        yield
        except (OSError, RuntimeError) as error:  # a directory that is gone, or no watches left
            if not told:
                _logger.warning("watching files by their state alone", extra={"problem": str(error)})
            told = True
            await asyncio.sleep(LOOK_SECONDS)


async def _notices(paths: Sequence[Path]) -> AsyncGenerator[None]:
    """Wake up at notices and every `LOOK_SECONDS`; end when the files are in other directories than before.

    Raises:
        OSError: There is nothing that could be watched.
        RuntimeError: The notices failed.
    """
    directories = await asyncio.to_thread(_directories, paths)
    if not directories:
        raise FileNotFoundError("there is no directory to watch")
    notices = awatch(
        *(directory for directory, *_ in directories),
        watch_filter=None,
        recursive=False,
        step=_QUIET_MS,
        debounce=_LONGEST_MS,
        rust_timeout=round(LOOK_SECONDS * 1000),
        yield_on_timeout=True,
    )
    async with aclosing(notices):
        async for _ in notices:
            yield
            if await asyncio.to_thread(_directories, paths) != directories:
                return


@asynccontextmanager
async def reloading(
    what: Literal["certificate", "signing certificate", "keys"],
    paths: Sequence[Path],
    known: Stamp,
    load: Callable[[], Loaded],
    use: Callable[[Loaded], None],
    metrics: Metrics,
) -> AsyncIterator[None]:
    """Read files again whenever they change inside this context. What cannot be used changes nothing.

    Args:
        what: What they hold, for the log and the metrics.
        paths: The files.
        known: Their state when they were last read.
        load: Reads and checks them; runs on another thread.
        use: Takes what was read.
        metrics: Counts reloads, and changes that cannot be used.
    """

    async def reload() -> None:
        async for _ in changes(paths, known):
            try:
                use(await asyncio.to_thread(load))
            except Exception as error:  # whatever a file does to those who read it
                # Of failures nobody thought of, the text may have anything that is in the file.
                problem = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
                metrics.reloaded(what, ok=False)
                _logger.error(
                    f"the new {what} cannot be used, staying with the old", extra={"problem": problem}
                )
            else:
                metrics.reloaded(what, ok=True)
                _logger.info(f"{what} reloaded", extra={"files": ", ".join(map(str, paths))})

    watching = asyncio.create_task(reload())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _directories(paths: Sequence[Path]) -> tuple[tuple[Path, int, int], ...]:
    """The directories of files and of the links to them, each with what tells whether it is the same."""
    found = {}
    for path in paths:
        for _ in range(_MAX_LINKS):
            directory = path.absolute().parent
            try:
                state = directory.stat()
                found[directory] = (directory, state.st_dev, state.st_ino)
                path = directory / path.readlink()  # noqa: PLW2901 - follows the links
            except (OSError, ValueError):  # no link, or nothing there
                break
    return tuple(found.values())
