"""The file of keys: read at start, and again whenever it has changed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from service.access.keys import Keys, KeysError, parse_keys
from service.app.files import read_file, stamp
from service.app.watching import reloading
from service.core.metrics import Metrics
from service.rpc.access import Access

# About 16 000 keys.
_MAX_BYTES = 4 * 2**20

_logger = logging.getLogger(__name__)


def read_keys(file: Path) -> Keys:
    """Read a file of keys.

    Raises:
        KeysError: It cannot be read or used, or has no keys: a gateway that lets nobody in is a mistake.
    """
    try:
        keys = parse_keys(read_file(file, _MAX_BYTES).decode())
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

    A file that cannot be used any more is logged, and the keys from before stay.

    Raises:
        KeysError: It cannot be used at the start.
    """
    known = stamp([file])
    keys = read_keys(file)
    access = Access(keys)
    _logger.info("keys read", extra={"keys": len(keys)})
    async with reloading("keys", [file], known, partial(read_keys, file), access.accept, metrics):
        yield access
