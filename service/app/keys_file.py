"""The file of keys: read at start, and again whenever it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.access.keys import Keys, KeysError, parse_keys
from service.app.files import Stamp, stamp
from service.core.metrics import Metrics
from service.rpc.access import Access

# Looking is one system call; mounted secrets take a minute to arrive anyway.
_LOOK_SECONDS = 1.0

_logger = logging.getLogger(__name__)


def read_keys(file: Path) -> Keys:
    """Read a file of keys.

    Raises:
        KeysError: It cannot be read or used, or has no keys: a gateway that lets nobody in is a mistake.
    """
    try:
        keys = parse_keys(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeysError([f"api_keys_file {file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise KeysError([f"api_keys_file {file}: is not UTF-8"]) from None
    except KeysError as error:
        raise KeysError([f"api_keys_file {file}: {problem}" for problem in error.problems]) from None
    if not len(keys):
        raise KeysError([f"api_keys_file {file}: has no keys; make one with `maskweave key`"])
    return keys


@asynccontextmanager
async def followed_keys(file: Path, metrics: Metrics) -> AsyncIterator[Access]:
    """Let calls in by the keys in a file, as it is at any time inside this context.

    A file that cannot be used any more is logged once, and the keys from before stay.

    Raises:
        KeysError: It cannot be used at the start.
    """
    known = stamp([file])
    keys = read_keys(file)
    access = Access(keys)
    _logger.info("keys read", extra={"keys": len(keys)})
    following = asyncio.create_task(_follow(file, known, access, metrics))
    try:
        yield access
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(file: Path, known: Stamp, access: Access, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        found = await asyncio.to_thread(stamp, [file])
        if found == known:
            continue
        known = found
        try:
            keys = await asyncio.to_thread(read_keys, file)
        except KeysError as error:
            metrics.reloaded("keys", ok=False)
            _logger.error(
                "the new keys cannot be used, those from before stay", extra={"problem": str(error)}
            )
            continue
        access.accept(keys)
        metrics.reloaded("keys", ok=True)
        _logger.info("keys read anew", extra={"keys": len(keys)})
