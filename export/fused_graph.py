"""The stages of an ensemble as one graph, made of the graphs of the stages.

PyTorch's exporter would take as long for it as for all stages together, and give the same operators. Tensors
of the same name are the same tensor, as in the ensemble. Left out are the edges between the stages: class ids
stay integers between the networks, since TensorRT takes uint8 at the edges of a network and nowhere else.
What nobody reads is not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper
from onnxscript import ir, optimizer

from export.exported import ServedCondition
from export.onnx_graph import MAX_IR_VERSION, OPSET
from export.stages import Stage


def write_fused(condition: ServedCondition, graph_of: Callable[[Stage], Path], path: Path) -> None:
    """Join the graphs of a condition's stages.

    Args:
        condition: how its stages are wired, and what the whole takes and gives.
        graph_of: gives a stage's graph as `write_onnx` writes it.
        path: the file to write.

    Raises:
        ValueError: if a tensor between two stages is uint8 and is no cast of integers.
    """
    nodes, weights = list[onnx.NodeProto](), list[onnx.TensorProto]()
    inputs, outputs = dict[str, onnx.ValueInfoProto](), dict[str, onnx.ValueInfoProto]()
    for stage in condition.stages:
        graph = _with_names_of_ensemble(onnx.load(graph_of(stage)).graph, stage, condition)
        nodes += graph.node
        weights += graph.initializer
        inputs |= {value.name: value for value in graph.input}
        outputs |= {value.name: value for value in graph.output}
    asked, given = condition.fused.inputs, condition.fused.outputs
    graph = helper.make_graph(
        _without_bytes_between(nodes, outputs),
        condition.fused.name,
        [inputs[spec.name] for spec in asked],
        [outputs[spec.name] for spec in given],
        weights,
    )
    opset = helper.make_opsetid("", OPSET)
    model = _cleaned(helper.make_model(graph, opset_imports=[opset], ir_version=MAX_IR_VERSION))
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _with_names_of_ensemble(
    graph: onnx.GraphProto, stage: Stage, condition: ServedCondition
) -> onnx.GraphProto:
    """A stage's graph, of which only the edges have names that other stages may have, too."""
    own = compose.add_prefix_graph(
        graph, f"{stage.name}/", rename_inputs=False, rename_outputs=False, inplace=True
    )
    called = {spec: name for (of, spec), name in condition.renamed.items() if of == stage.name}
    for node in own.node:
        node.input[:] = [called.get(name, name) for name in node.input]
        node.output[:] = [called.get(name, name) for name in node.output]
    for value in (*own.input, *own.output):
        value.name = called.get(value.name, value.name)
    return own


def _without_bytes_between(
    nodes: list[onnx.NodeProto], edges: dict[str, onnx.ValueInfoProto]
) -> list[onnx.NodeProto]:
    """Nodes that read what a stage casts to uint8 in the place of what it gives; the whole gives that."""
    read = {name for node in nodes for name in node.input}
    made_by = {name: node for node in nodes for name in node.output}
    before = dict[str, str]()
    for name, edge in edges.items():
        if name not in read or edge.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        if (cast := made_by[name]).op_type != "Cast":
            raise ValueError(f"{name}: is given by {cast.op_type}, allowed is Cast")
        before[name] = cast.input[0]
    for node in nodes:
        node.input[:] = [before.get(name, name) for name in node.input]
    return nodes


def _cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """As the exporter leaves a graph: without what is twice there, does nothing, or is read by nobody."""
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    joined = ir.from_proto(model)
    optimizer.optimize_ir(joined)
    ir.passes.common.DeduplicateHashedInitializersPass()(joined)
    return ir.to_proto(joined)
