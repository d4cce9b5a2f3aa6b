"""Tensors and numbers inside pickles, rebuilt by functions of our own from the bytes that are there.

Nothing of a file is handed to torch: a tensor is a view on a storage whose numbers are read from the bytes.
No function here makes anything that is larger than what it was given, and none copies anything large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.generators.importers.opcodes import Budget, PickleRefusedError
from training.generators.importers.pickled import Built, Call, shown
from training.generators.importers.torch_storages import BFLOAT16, MAX_SIZE, PickledStorage

SCALARS = frozenset({"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "b1"})
"""NumPy's types of which single numbers are read."""


MAX_RANK = 8
MAX_SET = 1000
MAX_ENCODED = 64
"""Characters of the bytes that older pickles spell as text; single numbers have up to eight."""


@dataclass(frozen=True, slots=True, eq=False)
class PickledTensor:
    """A view on a storage, in elements."""

    storage: PickledStorage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers, as they are stored."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def tensor(self) -> Tensor:
        """A tensor of its own."""
        numbers = self.storage.numbers()[self.offset :]
        steps = tuple(step * numbers.itemsize for step in self.stride)
        viewed = np.lib.stride_tricks.as_strided(numbers, self.shape, steps, writeable=False)
        tensor = torch.from_numpy(np.array(viewed, order="C"))
        return tensor.view(torch.int16).view(torch.bfloat16) if self.storage.kind == BFLOAT16 else tensor


def taken(wanted: Mapping[str, PickledTensor], size: int) -> dict[str, Tensor]:
    """Tensors of their own, of those that are wanted.

    Args:
        wanted: by name.
        size: of the file in bytes; tensors that share their numbers could be many times as large.

    Raises:
        PickleRefusedError: if they are larger than the file.
    """
    if sum(tensor.nbytes for tensor in wanted.values()) > size:
        raise PickleRefusedError("has tensors that share their numbers, and are larger than the file")
    return {name: tensor.tensor() for name, tensor in wanted.items()}


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
    if count and (count > storage.count or last >= storage.count):
        raise PickleRefusedError(f"has a tensor of shape {shape} over a storage of {storage.count} numbers")
    return PickledTensor(storage, offset, shape, stride)


def _is_sizes(values: object) -> bool:
    return (
        type(values) is tuple
        and len(values) <= MAX_RANK
        and all(type(value) is int and 0 <= value <= MAX_SIZE for value in values)
    )


def rebuild_parameter(value: PickledTensor, *_: Any) -> PickledTensor:
    """Of `torch._utils._rebuild_parameter`, and of that of parameters with attributes of their own."""
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


def _sizes(values: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Of `torch.Size`."""
    if not _is_sizes(values):
        raise PickleRefusedError("has an impossible shape")
    return values


def _set_within(budget: Budget) -> Callable[..., set[Any]]:
    def made(values: list[Any] | None = None) -> set[Any]:
        """Of `set`, in pickles before protocol 4."""
        values = values or []
        if type(values) is not list or len(values) > MAX_SET:
            raise PickleRefusedError("has a set that is no short list")
        budget.spend(len(values))
        return {value for value in values if isinstance(value, (str, int))}

    return made


def _encoded(text: str, coding: str, *_: Any) -> bytes | Ignored:
    """Of `_codecs.encode`, by which pickles before protocol 3 hold bytes; arrays are of no use to us."""
    if type(text) is not str or coding != "latin1":
        raise PickleRefusedError("has bytes in another coding than latin1")
    return text.encode("latin-1") if len(text) <= MAX_ENCODED else Ignored()


def _ignored(*_: Any) -> Ignored:
    return Ignored()


def value_calls(budget: Budget) -> dict[str, Call]:
    """What every kind of checkpoint may call, within a file's budget."""
    fixed: dict[str, Call] = {
        "collections.OrderedDict": lambda *_: {},
        "collections.defaultdict": lambda *_: {},
        "torch._utils._rebuild_parameter": rebuild_parameter,
        "torch._utils._rebuild_parameter_with_state": rebuild_parameter,
        "torch._utils._rebuild_tensor_v2": rebuild_tensor,
        "torch.Size": _sizes,
        "numpy.dtype": number_type,
        "numpy.core.multiarray.scalar": rebuild_number,
        "numpy._core.multiarray.scalar": rebuild_number,
        "_codecs.encode": _encoded,
        **dict.fromkeys(("builtins.set", "__builtin__.set"), _set_within(budget)),
    }
    return fixed | dict.fromkeys(OF_NO_USE, _ignored)


PATHS = tuple(
    f"{module}.{pure}{system}Path"
    for module in ("pathlib", "pathlib._local")
    for pure in ("", "Pure")
    for system in ("", "Posix", "Windows")
)
"""Folders and files among a run's settings; newer versions of Python name them otherwise."""
OF_NO_USE = (
    "torch.device",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    *PATHS,
)
"""What is let in and becomes nothing."""
VALUES = frozenset(
    {"numpy.ndarray", "torch.float16", "torch.float32", "torch.float64", "torch.int64", "torch.bool"}
    | {f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("dict", "list", "int")}
)
