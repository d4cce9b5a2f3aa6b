"""Ways in which an exported graph can be wrong, to see that comparisons notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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


def shift_decision(path: Path) -> None:
    """Make what follows a graph's `ArgMax` go on with the next class."""
    model = onnx.load(path)
    (decision,) = [node for node in model.graph.node if node.op_type == "ArgMax"]
    place = list(model.graph.node).index(decision)
    for node in list(model.graph.node)[place + 1 :]:
        node.input[:] = ["shifted" if name == decision.output[0] else name for name in node.input]
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "one"))
    model.graph.node.insert(place + 1, helper.make_node("Add", [decision.output[0], "one"], ["shifted"]))
    onnx.save(model, path)


def write_threshold(path: Path, lean: float) -> None:
    """A graph from SCORES `[N, 2, 100]` to PICTURE: 100 where the second score, plus `lean`, is higher."""
    scores = helper.make_tensor_value_info("SCORES", TensorProto.FLOAT, ("batch", 2, 100))
    image = helper.make_tensor_value_info("PICTURE", TensorProto.FLOAT, ("batch", 100))
    nodes = [
        helper.make_node("Add", ["SCORES", "bias"], ["leaning"]),
        helper.make_node("ArgMax", ["leaning"], ["decided"], axis=1, keepdims=0),
        helper.make_node("Cast", ["decided"], ["floating"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floating", "hundred"], ["PICTURE"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([[[0], [lean]]], np.float32), "bias"),
        numpy_helper.from_array(np.array(100, np.float32), "hundred"),
    ]
    graph = helper.make_graph(nodes, "threshold", [scores], [image], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def shift_image(path: Path) -> None:
    """Move a graph's only output, images `[N, H, W, 3]`, one pixel to the left."""
    model = onnx.load(path)
    (output,) = model.graph.output
    height, width = (size.dim_value for size in output.type.tensor_type.shape.dim[1:3])
    assert height == width
    for node in model.graph.node:
        node.output[:] = ["straight" if name == output.name else name for name in node.output]
    columns = np.array([*range(1, width), 0], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(columns, "columns"))
    model.graph.node.append(helper.make_node("Gather", ["straight", "columns"], [output.name], axis=2))
    onnx.save(model, path)
