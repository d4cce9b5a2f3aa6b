"""Checkpoints, good ones and hand-made ones, and what the import says of those that it refuses."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import stylegan2_files as files
from tests.support.stylegan2_reference import random_state
from training.generators.importers.stylegan2 import import_stylegan2

STATE = random_state({4: 4, 8: 4, 16: 4, 32: 4})
GOOD = files.ada_pickle(files.ada_generator(STATE))
GOOD_TORCH = files.torch_file(files.converted_checkpoint(STATE))
GOOD_LEGACY = files.torch_file(files.converted_checkpoint(STATE), archive=False)


def refusal(folder: Path, content: bytes) -> str:
    path = folder / "net.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.pkl: ") as raised:
        import_stylegan2(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    return message.removeprefix(f"{path}: ")


class Calling:
    """Calls a function when Python's own unpickler reads it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def hand_made(*pieces: bytes) -> bytes:
    return b"\x80\x04" + b"".join(pieces) + b"."


def text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def legacy_storage(identity: bytes, length: int, numbers: bytes) -> bytes:
    """As `torch.save` wrote storages before 1.6."""
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, machine))
    return head + identity + b"\x80\x02]" + text("0") + b"a." + struct.pack("<q", length) + numbers


def identity(count: int, kind: bytes = b"ctorch\nFloatStorage\n", view: bytes = b"N") -> bytes:
    number = b"\x8a\x08" + struct.pack("<q", count)
    return b"\x80\x02(" + text("storage") + kind + text("0") + text("cpu") + number + view + b"tQ."
