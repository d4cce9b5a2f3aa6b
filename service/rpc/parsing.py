"""From bytes to a message: small ones at once, large ones on another thread, beside which others are served.

Parsing holds the interpreter for as long as it takes, on whatever thread: 16 MiB of empty entries are
millions of objects, half a second and hundreds of MiB. A message of that size that is an image has few. So
the fields of a large message are counted before it is parsed, which takes milliseconds off the event loop.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from service.core.errors import InvalidArgument

Request = TypeVar("Request", bound=Message)

MAX_FIELDS = 32_768
"""Fields of a message and of all messages in it: four times the most points that strokes may have."""

SMALL_BYTES = 2 * MAX_FIELDS
"""Messages up to this size cannot have more: a field takes at least two bytes."""

_COPIES = 2
"""A message as it came, or parsed, and the bytes fields that were taken out of it."""

_PACKED_FACTOR = 16
"""A number takes one byte or more when packed, 4 or 8 parsed, in arrays that grow by doubling."""

_FIELD_BYTES = 64
"""An entry of a repeated field, or an empty message."""

_SMALL_FACTOR = _FIELD_BYTES // 4
"""Small messages are not weighed. A field of two bytes takes 32 in memory, one byte of a packed field 8."""

_TEXTS = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)

_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = 0, 1, 2, 3, 4, 5
_SKIPPED = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH = 16


async def parsed(request_type: type[Request], data: bytes, take: Callable[[int], None]) -> Request:
    """Read a message on the event loop if it is small, else on another thread.

    Args:
        request_type: Its type.
        data: The message as it came.
        take: Given what it takes in memory, in bytes; raises if there is not so much.

    Raises:
        InvalidArgument: It is not one of this type, or has too many fields.
    """
    if len(data) <= SMALL_BYTES:
        take(_SMALL_FACTOR * len(data))
        return parse(request_type, data)
    loop = asyncio.get_running_loop()
    take(await loop.run_in_executor(None, weigh, data, request_type))
    return await loop.run_in_executor(None, parse, request_type, data)


def parse(request_type: type[Request], data: bytes) -> Request:
    """Read a message that has been weighed.

    Raises:
        InvalidArgument: It is not one of this type.
    """
    try:
        return request_type.FromString(data)
    except DecodeError:
        name = request_type.DESCRIPTOR.full_name
        raise InvalidArgument("(message)", f"{len(data)} bytes that are not one", f"a {name}") from None


def weigh(data: bytes, message: type[Message]) -> int:
    """What a message takes in memory at most, in bytes: as it came, parsed, and what it holds taken out.

    What is malformed is left to the parser.

    Args:
        data: The message as it came.
        message: Its type.

    Raises:
        InvalidArgument: It has more than `MAX_FIELDS`.
    """
    count = _Count()
    _count(memoryview(data), message.DESCRIPTOR, count, 0)
    return _COPIES * len(data) + _PACKED_FACTOR * count.packed_bytes + _FIELD_BYTES * count.fields


@dataclass(slots=True)
class _Count:
    fields: int = 0
    packed_bytes: int = 0


def _count(data: memoryview, message: Any, count: _Count, depth: int) -> None:
    position, end = 0, len(data)
    fields = message.fields_by_number
    while position < end:
        count.fields += 1
        if count.fields > MAX_FIELDS:
            raise InvalidArgument("(message)", f"more than {MAX_FIELDS} fields", f"at most {MAX_FIELDS}")
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind == _LENGTH:
            size, position = _varint(data, position)
            field = fields.get(tag >> 3)
            if field is None:
                pass
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                if depth < _MAX_DEPTH:
                    _count(data[position : position + size], field.message_type, count, depth + 1)
            elif field.type not in _TEXTS:
                count.packed_bytes += min(size, end - position)
            position += size
        elif kind in _SKIPPED:
            position += _SKIPPED[kind]
        elif kind not in (_GROUP, _GROUP_END):  # the parser skips groups, and reads on behind them
            return  # nonsense: the parser will say so


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
