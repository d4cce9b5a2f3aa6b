"""Messages as JSON and back, by protobuf's own mapping, without a large one holding up the event loop.

Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import asyncio

from google.protobuf import json_format
from google.protobuf.message import Message

from service.core.errors import InvalidArgument
from service.rpc.parsing import MAX_FIELDS, SMALL_BYTES

# Python's objects for one value of JSON take up to 30 times its text; of these, and only of these, the number
# is bounded, by what tells them apart. A long text, as files in base64 are, is one value.
_MARKS = (b",", b":", b"[", b"{")
_MAX_MARKS = 4 * MAX_FIELDS


class JsonMessages:
    """Translates messages. Large ones one at a time, on another thread. Belongs to one event loop."""

    def __init__(self) -> None:
        self._one_large = asyncio.Lock()

    async def to_binary(self, text: bytes, message_type: type[Message]) -> bytes:
        """A message in protobuf's binary form.

        Args:
            text: It as JSON, in UTF-8.
            message_type: Its type.

        Raises:
            InvalidArgument: It is not one of this type as JSON, or has too many values.
        """
        marks = sum(map(text.count, _MARKS))
        if marks > _MAX_MARKS:
            raise InvalidArgument(
                "(message)", f"JSON of more than {_MAX_MARKS} values", "protobuf's binary form"
            )
        if len(text) <= SMALL_BYTES:
            return _to_binary(text, message_type)
        async with self._one_large:
            return await asyncio.to_thread(_to_binary, text, message_type)

    async def to_json(self, data: bytes, message_type: type[Message]) -> bytes:
        """A message as JSON, in UTF-8."""
        if len(data) <= SMALL_BYTES:
            return _to_json(data, message_type)
        async with self._one_large:
            return await asyncio.to_thread(_to_json, data, message_type)


def _to_binary(text: bytes, message_type: type[Message]) -> bytes:
    try:
        message = json_format.Parse(text, message_type())
    except (json_format.Error, ValueError, RecursionError) as error:
        name = message_type.DESCRIPTOR.full_name
        raise InvalidArgument("(message)", f"JSON that is none: {error}", f"a {name}") from None
    return message.SerializeToString()


def _to_json(data: bytes, message_type: type[Message]) -> bytes:
    return json_format.MessageToJson(message_type.FromString(data), indent=None, ensure_ascii=False).encode()
