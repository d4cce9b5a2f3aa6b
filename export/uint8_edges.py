"""Keeps uint8 at the edges of a graph, where TensorRT takes it.

TensorRT has uint8 for inputs and outputs of a network only, and converts it from and to floating point only
(its Python API, `tensorrt.DataType.UINT8`). Ids and colours are at most 255, so a detour through floating
point changes nothing.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

EDGE = "edge_"
"""Names of the casts added here begin with it."""


def with_uint8_at_edges(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that computes the same and casts uint8 right at its inputs and outputs.

    Inputs become float and then int64 before anything reads them; what becomes a uint8 output is made float
    before.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    del graph.value_info[:]  # types change on the way
    before: list[onnx.NodeProto] = []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            before += _input_casts(graph, value.name)
    edges = {value.name for value in graph.output if value.type.tensor_type.elem_type == TensorProto.UINT8}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] in edges:
            floating = f"{EDGE}{node.output[0]}_float"
            nodes.append(_cast(node.input[0], floating, TensorProto.FLOAT))
            nodes.append(_cast(floating, node.output[0], TensorProto.UINT8))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend([*before, *nodes])
    return changed


def _input_casts(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    floating, integer = f"{EDGE}{name}_float", f"{EDGE}{name}_int64"
    for node in graph.node:
        node.input[:] = [integer if read == name else read for read in node.input]
    return [_cast(name, floating, TensorProto.FLOAT), _cast(floating, integer, TensorProto.INT64)]


def _cast(source: str, result: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], name=f"{EDGE}cast_{result}", to=to)
