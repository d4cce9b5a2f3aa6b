"""Ways in which an exported graph can be wrong, to see that comparisons notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def transpose_output(path: Path) -> None:
    """Swap rows and columns of a graph's only output `[N, H, H]`, after everything else."""
    model = onnx.load(path)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["straight" if name == output.name else name for name in node.output]
    model.graph.node.append(helper.make_node("Transpose", ["straight"], [output.name], perm=[0, 2, 1]))
    onnx.save(model, path)


def put_nan(path: Path) -> None:
    """Make one number of a graph's largest weight NaN."""
    model = onnx.load(path)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight = numpy_helper.to_array(largest).copy()
    weight.flat[0] = np.nan
    largest.CopyFrom(numpy_helper.from_array(weight, largest.name))
    onnx.save(model, path)


def round_twice(path: Path) -> None:
    """Add a decision that PyTorch does not take."""
    model = onnx.load(path)
    (rounding,) = [node for node in model.graph.node if node.op_type == "Round"]
    model.graph.node.append(helper.make_node("Round", [rounding.input[0]], ["again"]))
    onnx.save(model, path)
