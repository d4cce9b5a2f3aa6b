"""Tensors and numbers inside pickles, rebuilt by functions of our own from the bytes that are there.

A pickled tensor is a view on a storage, and a pickled storage is what `torch.save` made of it before 1.6:
five small pickles (magic number, protocol, machine, storage, keys), then its length and its bytes. Nothing of
this is handed to torch: numbers are read from the bytes, and no more of them than a file has. No function
here makes anything that is larger than what it was given, and none copies anything large.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.generators.importers.pickled import (
    Built,
    Call,
    Name,
    PickleRefusedError,
    Table,
    read_pickle,
    shown,
)

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
    }
)
"""NumPy's name for the numbers of each kind of storage."""
SCALARS = frozenset({"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "b1"})
"""NumPy's types of which single numbers are read."""


MAX_STORAGE_OPCODES = 200
"""Of each of a storage's pickles; some forty are used."""
MAX_RANK = 8
MAX_SIZE = 1 << 40
MAX_SET = 1000
NOTHING = Table(calls={})
STORAGES = Table(calls={}, values=frozenset(STORAGE_TYPES))


@dataclass(frozen=True, slots=True)
class PickledStorage:
    """Numbers in a row.

    Attributes:
        dtype: NumPy's.
        content: their bytes, not copied.
    """

    dtype: np.dtype[Any]
    content: memoryview

    def __len__(self) -> int:
        return len(self.content) // self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A view on a storage, in elements."""

    storage: PickledStorage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """A tensor of its own."""
        numbers = np.frombuffer(self.storage.content, self.storage.dtype, len(self.storage))[self.offset :]
        steps = tuple(step * numbers.itemsize for step in self.stride)
        viewed = np.lib.stride_tricks.as_strided(numbers, self.shape, steps, writeable=False)
        return torch.from_numpy(np.array(viewed, order="C"))


@dataclass(slots=True)
class NumberType(Built):
    """NumPy's type of a pickled number."""

    code: str

    def build(self, state: object) -> None:
        """Byte order is all that its state says of a plain type."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise PickleRefusedError(f"has numbers of another byte order than little-endian ({self.code})")


@dataclass(slots=True)
class Ignored(Built):
    """A value that is of no use to us."""


def rebuild_tensor(
    storage: PickledStorage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> PickledTensor:
    """Of `torch._utils._rebuild_tensor_v2`; a tensor has no more elements than its storage."""
    if type(storage) is not PickledStorage or not (_is_sizes(shape) and _is_sizes(stride)):
        raise PickleRefusedError("has a tensor without a storage of its own, or of an impossible shape")
    if not _is_sizes((offset,)) or len(shape) != len(stride):
        raise PickleRefusedError(f"has a tensor of shape {shape} with impossible strides or offset")
    count = math.prod(shape)
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if count and (count > len(storage) or last >= len(storage)):
        raise PickleRefusedError(f"has a tensor of shape {shape} over a storage of {len(storage)} numbers")
    return PickledTensor(storage, offset, shape, stride)


def _is_sizes(values: object) -> bool:
    return (
        type(values) is tuple
        and len(values) <= MAX_RANK
        and all(type(value) is int and 0 <= value <= MAX_SIZE for value in values)
    )


def rebuild_parameter(value: PickledTensor, *_: Any) -> PickledTensor:
    """Of `torch._utils._rebuild_parameter`."""
    if type(value) is not PickledTensor:
        raise PickleRefusedError("has a parameter that is no tensor")
    return value


def rebuild_number(kind: NumberType, content: bytes) -> float:
    """Of NumPy's `multiarray.scalar`."""
    if type(kind) is not NumberType or type(content) is not bytes:
        raise PickleRefusedError("has a number without type or bytes")
    dtype = np.dtype(f"<{kind.code}")
    if len(content) != dtype.itemsize:
        raise PickleRefusedError(f"has a number of type {kind.code} in {len(content)} bytes")
    number: float = np.frombuffer(content, dtype)[0].item()
    return number


def number_type(code: str, *_: Any) -> NumberType:
    """Of `numpy.dtype`."""
    if code not in SCALARS:
        raise PickleRefusedError(f"has numbers of NumPy's type {shown(code)}")
    return NumberType(code)


def load_storage(content: bytes) -> PickledStorage:
    """Of `torch.storage._load_from_bytes`: one storage, as `torch.save` wrote it before 1.6."""
    if type(content) is not bytes:
        raise PickleRefusedError("has a storage that is not bytes")
    stream = io.BytesIO(content)

    def read(allowed: Table = NOTHING, load: Call | None = None) -> Any:
        return read_pickle(stream, allowed, load, max_opcodes=MAX_STORAGE_OPCODES)

    if read() != LEGACY_MAGIC or read() != LEGACY_PROTOCOL:
        raise PickleRefusedError("has a storage that torch.save did not write")
    machine = read()
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise PickleRefusedError("was written on a machine that is not little-endian")
    kind, key, count = read(STORAGES, _storage_id)
    if read() != [key]:
        raise PickleRefusedError("has a storage of several parts")
    dtype = np.dtype(STORAGE_TYPES[kind])
    length = stream.read(8)
    first = stream.tell()
    if len(length) != 8 or struct.unpack("<q", length)[0] != count:
        raise PickleRefusedError("has a storage of another length than it says")
    if len(content) - first != count * dtype.itemsize:
        raise PickleRefusedError("has a storage that was cut off")
    return PickledStorage(dtype, memoryview(content)[first:])


def _storage_id(identity: Any) -> tuple[str, str, int]:
    """("storage", type, key, location, count, view): of a whole storage, wherever it was."""
    match identity:
        case ("storage", Name(kind), str(key), str(), int(count), None) if count >= 0:
            return kind, key, count
    raise PickleRefusedError("has a storage that is part of another")


def _sizes(values: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Of `torch.Size`."""
    if not _is_sizes(values):
        raise PickleRefusedError("has an impossible shape")
    return values


def _set(values: list[Any] | None = None) -> set[Any]:
    """Of `set`, in pickles before protocol 4."""
    values = values or []
    if type(values) is not list or len(values) > MAX_SET:
        raise PickleRefusedError("has a set that is no short list")
    return {value for value in values if isinstance(value, (str, int))}


def _ignored(*_: Any) -> Ignored:
    return Ignored()


CALLS: MappingProxyType[str, Call] = MappingProxyType(
    {
        "collections.OrderedDict": lambda *_: {},
        "torch._utils._rebuild_parameter": rebuild_parameter,
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch.storage._load_from_bytes": load_storage,
        "torch.Size": _sizes,
        "torch.device": _ignored,
        "numpy.dtype": number_type,
        "numpy.core.multiarray.scalar": rebuild_number,
        "numpy._core.multiarray.scalar": rebuild_number,
        "numpy.core.multiarray._reconstruct": _ignored,
        "numpy._core.multiarray._reconstruct": _ignored,
        "builtins.set": _set,
    }
)
VALUES = frozenset(
    {"numpy.ndarray", "torch.float16", "torch.float32", "torch.float64", "torch.int64", "torch.bool"}
)
