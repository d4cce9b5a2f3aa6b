"""Bounds of what a connection to the HTTP port sends before anybody looks at it: the heads of its requests.

aiohttp bounds each header and their number, which together are a megabyte, and takes in 32 requests ahead of
the one in progress. Here all headers of a request are bounded together, its trailers likewise, and reading
stops while requests wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

MAX_HEADERS = 64
"""Headers of a request."""

MAX_HEAD_BYTES = 64 * 1024
"""What may come in a row that neither ends a head nor belongs to a body; and as much again, as it is read."""

# Requests that have come and wait: with so many nothing more is read, until there are none.
_WAITING = 2


def bounded(connection: RequestHandler) -> RequestHandler:
    """A connection that has not begun, made to keep to these bounds."""
    connection._max_msg_queue_size, connection._msg_queue_resume_size = _WAITING, 0
    parser: Any = _Bounded(connection._parser)
    connection._parser = parser
    return connection


class _Bounded:
    """A parser of aiohttp's that gives up a head, or trailers, of too many bytes.

    Args:
        parser: It.
    """

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._body: StreamReader = EMPTY_PAYLOAD  # of the latest request
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[Sequence[tuple[Any, StreamReader]], bool, bytes]:
        """Parse what has come.

        Raises:
            HttpProcessingError: It is no HTTP, or has more than is allowed.
        """
        before = self._body.total_bytes
        found: tuple[Sequence[tuple[Any, StreamReader]], bool, bytes] = self._parser.feed_data(data)
        if found[0]:
            self._body = found[0][-1][1]
            self._bytes = 0
        elif self._body.total_bytes > before:
            self._bytes = 0
        else:
            self._bytes += len(data)
            if self._bytes > MAX_HEAD_BYTES:
                raise BadHttpMessage(f"got more than {MAX_HEAD_BYTES} bytes of headers")
        return found
