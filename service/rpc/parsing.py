"""From bytes to a message: small ones at once, large ones on another thread, beside which others are served.

Parsing holds the interpreter for as long as it takes, on whatever thread: 16 MiB of empty entries are
millions of objects, half a second and hundreds of MiB. A message of that size that is an image has few. So
the fields of a large message are counted before it is parsed, which takes milliseconds off the event loop.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from service.core.errors import InvalidArgument

Request = TypeVar("Request", bound=Message)

MAX_FIELDS = 32_768
"""Fields of a message and of all messages in it: four times the most points that strokes may have."""

SMALL_BYTES = 2 * MAX_FIELDS
"""Messages up to this size cannot have more: a field takes at least two bytes."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SKIPPED = {_FIXED64: 8, _FIXED32: 4}
_MAX_DEPTH = 16


async def parsed(request_type: type[Request], data: bytes) -> Request:
    """Read a message on the event loop if it is small, else on another thread.

    Raises:
        InvalidArgument: It is not one of this type, or has too many fields.
    """
    if len(data) <= SMALL_BYTES:
        return parse(request_type, data)
    return await asyncio.get_running_loop().run_in_executor(None, parse, request_type, data)


def parse(request_type: type[Request], data: bytes) -> Request:
    """Read a message.

    Raises:
        InvalidArgument: It is not one of this type, or has too many fields.
    """
    check_fields(data, request_type)
    try:
        return request_type.FromString(data)
    except DecodeError:
        name = request_type.DESCRIPTOR.full_name
        raise InvalidArgument("(message)", f"{len(data)} bytes that are not one", f"a {name}") from None


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
