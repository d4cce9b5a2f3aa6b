"""What may arrive: bounds of the messages on their way, and of the fields in each.

gRPC keeps what has arrived of a message until the rest is there. It asks a caller to send only once somebody
waits for the message; until then a few of its frames are all that is held. So a call waits for its request
only after it was given a place here: of those in all, and of those of its caller. Sessions, which always
wait for a message, have bounds of their own.

Parsing holds the interpreter for as long as it takes, on whatever thread: 16 MiB of empty entries are
millions of objects, half a second and hundreds of MiB. A message of that size that is an image has few. So
fields are counted before they are parsed.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from service.core.errors import InvalidArgument


class PendingMessages:
    """Places for calls whose request has not arrived. Belongs to one event loop.

    Args:
        in_all: How many there are.
        per_caller: How many of them one caller may have.
    """

    def __init__(self, *, in_all: int, per_caller: int) -> None:
        self._all = asyncio.Semaphore(in_all)
        self._per_caller = per_caller
        self._callers: dict[str, _Caller] = {}

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Have a place inside this context; waits for one in the order in which calls came."""
        mine = self._callers.setdefault(caller, _Caller(self._per_caller))
        mine.calls += 1
        try:
            async with mine.places, self._all:
                yield
        finally:
            mine.calls -= 1
            if not mine.calls:
                del self._callers[caller]


class _Caller:
    """The places of one caller, and how many calls have or want one."""

    __slots__ = ("calls", "places")

    def __init__(self, places: int) -> None:
        self.calls = 0
        self.places = asyncio.Semaphore(places)


MAX_FIELDS = 32_768
"""Fields of a message and of all messages in it: four times the most points that strokes may have."""

SMALL_BYTES = 2 * MAX_FIELDS
"""Messages up to this size cannot have more: a field takes at least two bytes."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SKIPPED = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH = 16


def check_fields(data: bytes, message: type[Message]) -> None:
    """Refuse a message with too many fields. What is malformed is left to the parser.

    Args:
        data: The message as it came.
        message: Its type.

    Raises:
        InvalidArgument: It has more than `MAX_FIELDS`.
    """
    if len(data) > SMALL_BYTES:
        _count(memoryview(data), message.DESCRIPTOR, 0, 0)


def _count(data: memoryview, message: Any, count: int, depth: int) -> int:
    position, end = 0, len(data)
    fields = message.fields_by_number
    while position < end:
        count += 1
        if count > MAX_FIELDS:
            raise InvalidArgument("(message)", f"more than {MAX_FIELDS} fields", f"at most {MAX_FIELDS}")
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _LENGTH:
            size, position = _varint(data, position)
            field = fields.get(tag >> 3)
            if field is not None and field.type == FieldDescriptor.TYPE_MESSAGE and depth < _MAX_DEPTH:
                count = _count(data[position : position + size], field.message_type, count, depth + 1)
            position += size
        elif kind in _SKIPPED:
            position += _SKIPPED[kind]
        else:
            return count  # a group, or nonsense: the parser will say so
    return count


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80 or shift > 63:
            break
    return value, position
