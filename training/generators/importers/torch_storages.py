"""The numbers of tensors as `torch.save` keeps them: storages, of which tensors are views.

A storage inside a pickle is what `torch.save` made of it before 1.6: five small pickles (magic number,
protocol, machine, storage, keys), then its length and its bytes. In files of its own a storage is an entry or
a part of the file, and the pickle mentions it by its key.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.generators.importers.opcodes import Budget, PickleRefusedError
from training.generators.importers.pickled import Call, Name, Table, read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGE_TYPES = MappingProxyType(
    {
        "torch.DoubleStorage": "<f8",
        "torch.FloatStorage": "<f4",
        "torch.HalfStorage": "<f2",
        "torch.LongStorage": "<i8",
        "torch.IntStorage": "<i4",
        "torch.ShortStorage": "<i2",
        "torch.CharStorage": "<i1",
        "torch.ByteStorage": "<u1",
        "torch.BoolStorage": "|b1",
        "torch.BFloat16Storage": "<u2",
    }
)
"""NumPy's name for the numbers of each kind of storage; it has none for bfloat16, whose bits are kept."""
BFLOAT16 = "torch.BFloat16Storage"
MAX_STORAGE_OPCODES = 200
"""Of each of a storage's pickles; some forty are used."""
MAX_SIZE = 1 << 40
MAX_KEY = 64
NOTHING = Table(calls={})
STORAGES = Table(calls={}, values=frozenset(STORAGE_TYPES))


@dataclass(slots=True, eq=False)
class PickledStorage:
    """Numbers in a row.

    Attributes:
        kind: of `STORAGE_TYPES`.
        count: how many the file says there are.
        content: their bytes, not copied; None until they are come to.
    """

    kind: str
    count: int
    content: memoryview | None = None

    def fill(self, content: memoryview) -> None:
        """Take the bytes; there must be as many as were announced."""
        if len(content) != self.count * self.dtype.itemsize:
            raise PickleRefusedError("has a storage that was cut off")
        self.content = content

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's."""
        return np.dtype(STORAGE_TYPES[self.kind])

    def numbers(self) -> NDArray[Any]:
        """All of them, not copied."""
        if self.content is None:
            raise PickleRefusedError("has a tensor whose storage is not in the file")
        return np.frombuffer(self.content, self.dtype, self.count)


class LegacyStorages:
    """Storages inside a pickle, each of them once: many tensors may share one.

    Args:
        budget: of the file.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._known: dict[int, tuple[bytes, PickledStorage]] = {}

    def load(self, content: bytes) -> PickledStorage:
        """Of `torch.storage._load_from_bytes`: one storage, as `torch.save` wrote it before 1.6."""
        if type(content) is not bytes:
            raise PickleRefusedError("has a storage that is not bytes")
        known = self._known.get(id(content))  # kept beside it, so that the id stays its own
        if known is None:
            known = self._known[id(content)] = content, self._read(content)
        return known[1]

    def _read(self, content: bytes) -> PickledStorage:
        stream = io.BytesIO(content)
        legacy_head(stream, self._budget)
        kind, key, count = small_pickle(stream, self._budget, STORAGES, storage_id)
        if small_pickle(stream, self._budget) != [key]:
            raise PickleRefusedError("has a storage of several parts")
        found = PickledStorage(kind, count)
        found.fill(memoryview(content)[legacy_length(stream, count) :])
        return found


def small_pickle(stream: BinaryIO, budget: Budget, table: Table = NOTHING, load: Call | None = None) -> Any:
    """One of the few that `torch.save` put around storages before 1.6."""
    return read_pickle(stream, table, load, budget, MAX_STORAGE_OPCODES)


def legacy_head(stream: BinaryIO, budget: Budget) -> None:
    """Read what `torch.save` put first before 1.6: magic number, protocol and machine."""
    if small_pickle(stream, budget) != LEGACY_MAGIC or small_pickle(stream, budget) != LEGACY_PROTOCOL:
        raise PickleRefusedError("has a storage that torch.save did not write")
    machine = small_pickle(stream, budget)
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise PickleRefusedError("was written on a machine that is not little-endian")


def legacy_length(stream: BinaryIO, count: int) -> int:
    """Read the length before a storage's bytes, which must be `count`; returns where they begin."""
    length = stream.read(8)
    if len(length) != 8 or struct.unpack("<q", length)[0] != count:
        raise PickleRefusedError("has a storage of another length than it says")
    return stream.tell()


def storage_id(identity: Any) -> tuple[str, str, int]:
    """Kind, key and length of ("storage", kind, key, location, length[, view]): of whole ones alone."""
    match identity:
        case ("storage", Name(kind), str(key), str(), int(count), *view) if (
            kind in STORAGE_TYPES and len(key) <= MAX_KEY and 0 <= count <= MAX_SIZE and view in ([], [None])
        ):
            return kind, key, count
    raise PickleRefusedError("has a storage that is part of another, or none of numbers")
