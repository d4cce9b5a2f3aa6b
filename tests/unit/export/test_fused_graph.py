"""Graphs of stages, joined: what is computed, and what of the stages is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.exported import ServedCondition
from export.fused_graph import write_fused
from export.onnx_graph import MAX_IR_VERSION, OPSET
from export.stages import Stage, TensorSpec

X = TensorSpec("X", torch.float32, (3,))
MASK = TensorSpec("MASK", torch.uint8, (3,))
UNREAD = TensorSpec("UNREAD", torch.float32, (3,))
Y = TensorSpec("Y", torch.float32, (3,))
TYPES = {torch.float32: TensorProto.FLOAT, torch.uint8: TensorProto.UINT8}
WEIGHT = np.arange(3000, dtype=np.float32).reshape(3, 1000)
"""More numbers than are compared where they are few."""

FIRST = Stage("first", torch.nn.Identity(), (X,), (MASK, UNREAD))
SECOND = Stage("second", torch.nn.Identity(), (TensorSpec("IDS", torch.uint8, (3,)),), (Y,))
WHOLE = Stage("whole", torch.nn.Identity(), (X,), (Y,))
CONDITION = ServedCondition(
    "condition",
    (FIRST, SECOND),
    WHOLE,
    {},
    lambda models, labels, latents: labels,
    {("first", "MASK"): "IDS"},
)
ROUNDS = [
    helper.make_node("Round", ["X"], ["value"]),
    helper.make_node("Cast", ["value"], ["whole"], to=TensorProto.INT64),
]
TO_BYTES = helper.make_node("Cast", ["whole"], ["MASK"], to=TensorProto.UINT8)
LOOKS_NOWHERE = helper.make_node("Exp", ["X"], ["UNREAD"])
WEIGHS = [
    helper.make_node("Cast", ["IDS"], ["value"], to=TensorProto.FLOAT),
    helper.make_node("MatMul", ["value", "weight"], ["whole"]),
    helper.make_node("ReduceMax", ["whole", "axes"], ["most"]),
    helper.make_node("Mul", ["value", "most"], ["Y"]),
]


def write(folder: Path, stage: Stage, nodes: list[onnx.NodeProto]) -> Path:
    """A stage's graph; all have a weight and a number, whether they read them or not."""

    def edges(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(spec.name, TYPES[spec.dtype], ["batch", *spec.shape])
            for spec in specs
        ]

    weights = [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(np.array([1]), "axes")]
    graph = helper.make_graph(nodes, stage.name, edges(stage.inputs), edges(stage.outputs), weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=MAX_IR_VERSION
    )
    path = folder / f"{stage.name}.onnx"
    onnx.save(model, path)
    return path


def joined(folder: Path, first: list[onnx.NodeProto]) -> onnx.ModelProto:
    files = {"first": write(folder, FIRST, first), "second": write(folder, SECOND, WEIGHS)}
    write_fused(CONDITION, lambda stage: files[stage.name], folder / "fused" / "model.onnx")
    return onnx.load(folder / "fused" / "model.onnx")


def test_it_computes_what_its_stages_compute_one_after_the_other(tmp_path: Path) -> None:
    model = joined(tmp_path, [*ROUNDS, TO_BYTES, LOOKS_NOWHERE])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["Y"], {"X": np.array([[0.6, 1.4, 7], [2, 3, 4]], np.float32)})
    expected = np.array([[1, 1, 7], [2, 3, 4]], np.float32)
    expected *= (expected @ WEIGHT).max(1, keepdims=True)
    np.testing.assert_array_equal(found, expected)


def test_edges_are_those_of_the_whole(tmp_path: Path) -> None:
    graph = joined(tmp_path, [*ROUNDS, TO_BYTES, LOOKS_NOWHERE]).graph
    assert [value.name for value in graph.input] == ["X"]
    assert [value.name for value in graph.output] == ["Y"]
    (batch, size) = graph.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param, size.dim_value) == ("batch", 3)


def test_nothing_inside_is_uint8_or_read_by_nobody_or_twice_there(tmp_path: Path) -> None:
    moved = [
        helper.make_node("MatMul", ["X", "weight"], ["weighed"]),
        helper.make_node("ReduceMax", ["weighed", "axes"], ["most"]),
        helper.make_node("Add", ["X", "most"], ["moved"]),
        helper.make_node("Round", ["moved"], ["value"]),
    ]
    model = joined(tmp_path, [*moved, *ROUNDS[1:], TO_BYTES, LOOKS_NOWHERE])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    assert TensorProto.UINT8 not in {value.type.tensor_type.elem_type for value in inferred.value_info}
    assert "Exp" not in {node.op_type for node in model.graph.node}
    made = {name for node in model.graph.node for name in node.output}
    read = {name for node in model.graph.node for name in node.input}
    assert made - read == {"Y"}
    assert sum(list(tensor.dims) == list(WEIGHT.shape) for tensor in model.graph.initializer) == 1


def test_what_the_whole_gives_may_be_read_inside_too(tmp_path: Path) -> None:
    files = {
        "first": write(tmp_path, FIRST, [*ROUNDS, TO_BYTES, LOOKS_NOWHERE]),
        "second": write(tmp_path, SECOND, WEIGHS),
    }
    ids = SECOND.inputs[0]
    both = replace(CONDITION, fused=Stage("whole", torch.nn.Identity(), (X,), (Y, ids)))
    write_fused(both, lambda stage: files[stage.name], tmp_path / "fused.onnx")
    graph = onnx.load(tmp_path / "fused.onnx").graph
    (cast,) = (node for node in graph.node if "IDS" in node.output)
    assert cast.op_type == "Cast"
    assert "IDS" not in {name for node in graph.node for name in node.input}
    session = ort.InferenceSession(str(tmp_path / "fused.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(["IDS"], {"X": np.array([[0.6, 1.4, 7]], np.float32)})
    np.testing.assert_array_equal(found, np.array([[1, 1, 7]], np.uint8))


def test_uint8_between_stages_that_is_no_cast_is_named(tmp_path: Path) -> None:
    through = helper.make_node("Identity", ["bytes"], ["MASK"])
    bytes_first = helper.make_node("Cast", ["whole"], ["bytes"], to=TensorProto.UINT8)
    with pytest.raises(ValueError, match="IDS: is given by Identity, allowed is Cast"):
        joined(tmp_path, [*ROUNDS, bytes_first, through, LOOKS_NOWHERE])
