"""Proof that an exported graph computes what PyTorch computes.

Outputs that are rounded or ranked at the end (images, proxy masks) hide small errors or blow them up, so
graphs are also compared at what every such decision reads, which is added to the outputs of a copy in memory.
Of what is decided a few elements may differ: close calls.

What follows a decision follows from it: one cell that falls the other way rightly changes everything after
it. PyTorch is therefore made to go on with the graph's decisions, and every tensor is held to the same small
error, however many decisions come before it.
"""

from __future__ import annotations

import math
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
        One entry for every output, and for every tensor that an `ArgMax` or `Round` reads or gives.

    Raises:
        ValueError: if the graph has other shapes or dtypes, or another number of decisions.
    """
    model = onnx.load(path)
    deciding = [node for node in model.graph.node if node.op_type in DECIDING]
    asked, decided = [node.input[0] for node in deciding], [node.output[0] for node in deciding]
    names = [spec.name for spec in stage.outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (*asked, *decided))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {spec.name: tensor.numpy() for spec, tensor in zip(stage.inputs, inputs, strict=True)}
    found = session.run([*names, *asked, *decided], feed)

    decisions = _Decisions([torch.from_numpy(taken) for taken in found[len(names) + len(asked) :]])
    with torch.inference_mode(), decisions:
        given = stage.module(*inputs)
    if len(decisions.asked) != len(deciding):
        raise ValueError(
            f"{stage.name}: PyTorch takes {len(decisions.asked)} decisions, the graph {len(deciding)}"
        )
    outputs = (given,) if isinstance(given, Tensor) else given
    expected = [tensor.numpy() for tensor in (*outputs, *decisions.asked)]
    errors = [_compare(*tensor) for tensor in zip([*names, *asked], expected, found, strict=False)]
    own = [tensor.numpy() for tensor in decisions.answers]
    return errors + [
        _compare_decisions(*one) for one in zip(decided, own, found[len(expected) :], strict=True)
    ]


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


def _compare_decisions(name: str, expected: Array, found: Array) -> ParityError:
    if expected.shape != found.shape:
        raise ValueError(f"{name}: {expected.shape} in PyTorch, {found.shape} in ONNX")
    return ParityError(name, float((expected != found).mean()), CLOSE_CALLS)


class _Decisions(torch.overrides.TorchFunctionMode):
    """Lets PyTorch go on with given decisions instead of its own.

    Attributes:
        asked: what every `argmax` and `round` inside read, in order.
        answers: what PyTorch would have decided.
    """

    def __init__(self, given: list[Tensor]) -> None:
        super().__init__()
        self.asked: list[Tensor] = []
        self.answers: list[Tensor] = []
        self._given = given

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        answer = function(*args, **(kwargs or {}))
        if function not in (torch.Tensor.argmax, torch.argmax, torch.Tensor.round, torch.round):
            return answer
        self.asked.append(args[0].detach().clone())
        self.answers.append(answer)
        place = len(self.asked) - 1
        if place < len(self._given) and self._given[place].shape == answer.shape:
            return self._given[place].to(answer.dtype)
        return answer
