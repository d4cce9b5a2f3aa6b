"""Data types and shapes as Triton, ONNX Runtime and NumPy name them, and the checks of an inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from service.core.errors import EngineFailure
from service.engine.base import ANY_SIZE, Array, ModelInfo, TensorSpec

_TYPES = (
    ("TYPE_BOOL", "tensor(bool)", np.bool_),
    ("TYPE_UINT8", "tensor(uint8)", np.uint8),
    ("TYPE_UINT16", "tensor(uint16)", np.uint16),
    ("TYPE_UINT32", "tensor(uint32)", np.uint32),
    ("TYPE_UINT64", "tensor(uint64)", np.uint64),
    ("TYPE_INT8", "tensor(int8)", np.int8),
    ("TYPE_INT16", "tensor(int16)", np.int16),
    ("TYPE_INT32", "tensor(int32)", np.int32),
    ("TYPE_INT64", "tensor(int64)", np.int64),
    ("TYPE_FP16", "tensor(float16)", np.float16),
    ("TYPE_FP32", "tensor(float)", np.float32),
    ("TYPE_FP64", "tensor(double)", np.float64),
)

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType({name: np.dtype(kind) for name, _, kind in _TYPES})
"""NumPy dtype by Triton's name; TYPE_STRING and TYPE_BF16 have no place in an image pipeline."""

DTYPES_BY_ONNX_TYPE: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {onnx: np.dtype(kind) for _, onnx, kind in _TYPES}
)
"""NumPy dtype by the type that ONNX Runtime reports."""

_TRITON_NAMES = {np.dtype(kind): name for name, _, kind in _TYPES}


def triton_name(dtype: np.dtype[Any]) -> str:
    """Triton's name of a dtype, for messages."""
    return _TRITON_NAMES.get(dtype) or str(dtype)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as config.pbtxt writes it: `[ 64, 64 ]`."""
    return f"[ {', '.join(map(str, shape))} ]" if shape else "[ ]"


def full_shape(spec: TensorSpec, max_batch_size: int) -> tuple[int, ...]:
    """The shape of the arrays themselves: with the batch dimension where there is one."""
    return (ANY_SIZE, *spec.shape) if max_batch_size else spec.shape


def shapes_agree(left: Sequence[int], right: Sequence[int]) -> bool:
    """Whether some array could have both shapes; `ANY_SIZE` agrees with every size."""
    return len(left) == len(right) and all(
        a == b or ANY_SIZE in (a, b) for a, b in zip(left, right, strict=True)
    )


def check_inputs(info: ModelInfo, inputs: Mapping[str, Array]) -> None:
    """Check that `inputs` are what a model takes.

    No caller of the service can cause a failure here: what they send is checked before it becomes a tensor.

    Raises:
        EngineFailure: Names the tensor, what it is and what it must be.
    """
    batch: int | None = None
    for spec in info.inputs:
        # Runs for every inference, so the texts are made only for a failure.
        array = inputs.get(spec.name)
        if array is None or array.dtype != spec.dtype or not _fits(array.shape, spec, info.max_batch_size):
            shape = full_shape(spec, info.max_batch_size)
            found = "nothing" if array is None else f"{triton_name(array.dtype)} {shape_text(array.shape)}"
            raise _wrong(info, spec, found, f"{triton_name(spec.dtype)} {shape_text(shape)}")
        if not info.max_batch_size:
            continue
        size = array.shape[0]
        if not 1 <= size <= info.max_batch_size:
            raise _wrong(info, spec, f"a batch of {size}", f"1 to {info.max_batch_size}")
        if batch is not None and size != batch:
            raise _wrong(info, spec, f"a batch of {size}", f"{batch}, as in the other inputs")
        batch = size
    if len(inputs) != len(info.inputs):
        expected = [spec.name for spec in info.inputs]
        unknown = next(name for name in inputs if name not in expected)
        raise EngineFailure(f"{info.name}.inputs: got {unknown!r}; allowed: {', '.join(expected)}")


def _fits(shape: tuple[int, ...], spec: TensorSpec, max_batch_size: int) -> bool:
    """Whether an array has the shape of a spec, most of which leave no size open but the batch's."""
    if shape[1:] == spec.shape and shape and max_batch_size:
        return True
    return shapes_agree(shape, full_shape(spec, max_batch_size))


def check_outputs(info: ModelInfo, outputs: Sequence[str]) -> None:
    """Check that a model has the outputs asked for, of which there must be one at least.

    Raises:
        EngineFailure: Names the output that the model does not have, and those that it has.
    """
    names = [spec.name for spec in info.outputs]
    wrong = [name for name in outputs if name not in names]
    if wrong or not outputs:
        found = repr(wrong[0]) if wrong else "none"
        raise EngineFailure(f"{info.name}.outputs: got {found}; allowed: {', '.join(names)}")


def unknown_model(name: str, models: Mapping[str, ModelInfo]) -> EngineFailure:
    """The failure of a task that asks for a model which the engine does not have."""
    return EngineFailure(f"There is no model {name!r}; the engine has: {', '.join(sorted(models)) or 'none'}")


def _wrong(info: ModelInfo, spec: TensorSpec, found: str, allowed: str) -> EngineFailure:
    return EngineFailure(f"{info.name}.inputs[{spec.name}]: got {found}; allowed: {allowed}")
