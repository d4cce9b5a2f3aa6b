"""Messages as text and back, without a large one holding up the event loop: base64 and JSON.

Source, of the mapping: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import asyncio
import base64
import binascii

from google.protobuf import json_format
from google.protobuf.message import Message

from service.core.errors import InvalidArgument
from service.rpc.parsing import MAX_FIELDS, SMALL_BYTES

# Python's objects for one value of JSON take up to 30 times its text; of these, and only of these, the number
# is bounded, by what tells them apart. A long text, as files in base64 are, is one value.
_MARKS = (b",", b":", b"[", b"{")
_MAX_MARKS = 4 * MAX_FIELDS

# Nothing else in Python goes on while so much is counted or decoded. Whole groups of base64.
_PART_BYTES = 2**18


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
        if len(text) <= SMALL_BYTES:
            return _to_binary(text, message_type)
        async with self._one_large:
            return await asyncio.to_thread(_to_binary, text, message_type)

    async def from_base64(self, text: bytearray) -> bytes:
        """What a body in base64 stands for.

        Raises:
            InvalidArgument: It is none.
        """
        if len(text) <= SMALL_BYTES:
            return _from_base64(text)
        async with self._one_large:
            return await asyncio.to_thread(_from_base64, text)

    async def to_json(self, data: bytes, message_type: type[Message]) -> bytes:
        """A message as JSON, in UTF-8."""
        if len(data) <= SMALL_BYTES:
            return _to_json(data, message_type)
        async with self._one_large:
            return await asyncio.to_thread(_to_json, data, message_type)


def _to_binary(text: bytes, message_type: type[Message]) -> bytes:
    _check_values(text)
    try:
        message = json_format.Parse(text, message_type())
    except (json_format.Error, ValueError, RecursionError) as error:
        name = message_type.DESCRIPTOR.full_name
        raise InvalidArgument("(message)", f"JSON that is none: {error}", f"a {name}") from None
    return message.SerializeToString()


def _check_values(text: bytes) -> None:
    """Refuse what has too many values.

    Raises:
        InvalidArgument: It has.
    """
    marks = 0
    for start in range(0, len(text), _PART_BYTES):
        part = text[start : start + _PART_BYTES]
        marks += sum(map(part.count, _MARKS))
        if marks > _MAX_MARKS:
            raise InvalidArgument(
                "(message)", f"JSON of more than {_MAX_MARKS} values", "protobuf's binary form"
            )


def _from_base64(text: bytearray) -> bytes:
    parts = []
    try:
        for start in range(0, len(text), _PART_BYTES):
            part = text[start : start + _PART_BYTES]
            if start + _PART_BYTES < len(text) and part.endswith(b"="):
                raise binascii.Error
            parts.append(base64.b64decode(part, validate=True))
    except binascii.Error:
        got = "a body that is no base64"
        raise InvalidArgument("(message)", got, "base64, as the content type says") from None
    return b"".join(parts)


def _to_json(data: bytes, message_type: type[Message]) -> bytes:
    return json_format.MessageToJson(message_type.FromString(data), indent=None, ensure_ascii=False).encode()
