"""Proof that an exported graph computes what PyTorch computes.

Outputs that are rounded or ranked at the end (pictures, proxy masks) hide small errors or blow them up, so
their graphs are compared at the tensor just before that step, which is added to the outputs of a copy in
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor

from export.stages import Stage

DECIDING = {"ArgMax", "Round"}
"""Operators after which small errors cannot be seen any more."""
TOLERANCE = 1e-4
"""Largest error allowed, as a share of the tensor's range."""


@dataclass(frozen=True, slots=True)
class ParityError:
    """Largest error of one tensor.

    Attributes:
        tensor: name in the graph.
        relative: largest absolute difference over the range of the PyTorch values.
    """

    tensor: str
    relative: float


def parity_errors(stage: Stage, path: Path, inputs: tuple[Tensor, ...]) -> list[ParityError]:
    """Compare a stage in PyTorch with its ONNX file.

    Args:
        stage: the stage in PyTorch.
        path: its exported file.
        inputs: valid inputs of any batch size.

    Returns:
        One entry for every output that is plain floating point, and for every tensor that an `ArgMax` or
        `Round` reads.
    """
    model = onnx.load(path)
    deciding = [node.input[0] for node in model.graph.node if node.op_type in DECIDING]
    plain = [spec.name for spec in stage.outputs if spec.dtype.is_floating_point]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in deciding)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {spec.name: tensor.numpy() for spec, tensor in zip(stage.inputs, inputs, strict=True)}
    found = dict(zip([*plain, *deciding], session.run([*plain, *deciding], feed), strict=True))

    with torch.inference_mode(), _recorded_decisions() as decided:
        outputs = stage.module(*inputs)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    named = {spec.name: tensor for spec, tensor in zip(stage.outputs, outputs, strict=True)}
    expected = {name: named[name] for name in plain}
    if len(decided) != len(deciding):
        raise ValueError(f"{stage.name}: PyTorch takes {len(decided)} decisions, the graph {len(deciding)}")
    expected |= dict(zip(deciding, decided, strict=True))
    return [ParityError(name, _relative(expected[name].numpy(), found[name])) for name in expected]


def _relative(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        raise ValueError(f"shapes differ: {expected.shape} in PyTorch, {found.shape} in ONNX")
    spread = float(expected.max() - expected.min())
    return float(np.abs(expected - found).max()) / max(spread, 1e-12)


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
