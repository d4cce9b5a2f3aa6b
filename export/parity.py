"""Proof that an exported graph computes what PyTorch computes.

Outputs that are rounded or ranked at the end (pictures, proxy masks) hide small errors or blow them up, so
their graphs are compared at the tensor just before that step, too, which is added to the outputs of a copy in
memory. Of the outputs themselves a few elements may differ: close calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.stages import Stage

Array = NDArray[Any]

DECIDING = {"ArgMax", "Round"}
"""Operators after which small errors cannot be seen any more."""
TOLERANCE = 1e-4
"""Largest error allowed of floating point, as a share of the tensor's range."""
CLOSE_CALLS = 0.01
"""Largest share allowed of decided elements (classes, rounded colours) that fall the other way."""


@dataclass(frozen=True, slots=True)
class ParityError:
    """How far one tensor is off.

    Attributes:
        tensor: name in the graph.
        size: of floating point: the largest absolute difference over the range of the PyTorch values,
            infinite if the graph gives NaN or infinity; of integers: the share of elements that differ.
        allowed: the largest size that rounding explains.
    """

    tensor: str
    size: float
    allowed: float

    @property
    def excessive(self) -> bool:
        """Whether the graph computes something else."""
        return not self.size <= self.allowed


def parity_errors(stage: Stage, path: Path, inputs: tuple[Tensor, ...]) -> list[ParityError]:
    """Compare a stage in PyTorch with its ONNX file.

    Args:
        stage: the stage in PyTorch.
        path: its exported file.
        inputs: valid inputs of any batch size.

    Returns:
        One entry for every output, and for every tensor that an `ArgMax` or `Round` reads.

    Raises:
        ValueError: if the graph has other shapes or dtypes, or another number of decisions.
    """
    model = onnx.load(path)
    deciding = [node.input[0] for node in model.graph.node if node.op_type in DECIDING]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in deciding)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {spec.name: tensor.numpy() for spec, tensor in zip(stage.inputs, inputs, strict=True)}
    names = [*(spec.name for spec in stage.outputs), *deciding]
    found = session.run(names, feed)

    with torch.inference_mode(), _recorded_decisions() as decided:
        given = stage.module(*inputs)
    if len(decided) != len(deciding):
        raise ValueError(f"{stage.name}: PyTorch takes {len(decided)} decisions, the graph {len(deciding)}")
    outputs = (given,) if isinstance(given, Tensor) else given
    expected = [tensor.numpy() for tensor in (*outputs, *decided)]
    return [_compare(*tensor) for tensor in zip(names, expected, found, strict=True)]


def _compare(name: str, expected: Array, found: Array) -> ParityError:
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        raise ValueError(
            f"{name}: {expected.dtype} {expected.shape} in PyTorch, {found.dtype} {found.shape} in ONNX"
        )
    if np.issubdtype(expected.dtype, np.integer):
        return ParityError(name, float((expected != found).mean()), CLOSE_CALLS)
    if not np.isfinite(found).all():
        return ParityError(name, math.inf, TOLERANCE)
    spread = float(expected.max() - expected.min())
    return ParityError(name, float(np.abs(expected - found).max()) / max(spread, 1e-12), TOLERANCE)


@contextmanager
def _recorded_decisions() -> Iterator[list[Tensor]]:
    """The inputs of every `argmax` and `round` PyTorch runs inside, in order."""
    recorded: list[Tensor] = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if function in (torch.Tensor.argmax, torch.argmax, torch.Tensor.round, torch.round):
                recorded.append(args[0].detach().clone())
            return function(*args, **(kwargs or {}))

    with Recorder():
        yield recorded
