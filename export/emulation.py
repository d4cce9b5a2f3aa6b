"""Low precision on runtimes without kernels for it: FP32 arithmetic, every result rounded.

It is what ONNX Runtime's CPU provider does with FP16 by itself. It shows what storing results in fewer bits
costs; rounding inside sums of a convolution, which a GPU may do, is not seen.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from export.mixed_precision import LOW_TYPES
from export.onnx_graph import OPSET


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, in the exporter's opset, whose low-precision tensors hold the same values in FP32.

    Args:
        model: a graph that `in_precision` made.
    """
    changed = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = changed.graph
    low = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    low = {name: kind for name, kind in low.items() if kind in LOW_TYPES.values()}
    for weight in graph.initializer:
        if weight.data_type in LOW_TYPES.values():
            values = numpy_helper.to_array(weight).astype("float32")
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name not in low:
                continue
            exact, bits = f"{name}_exact", f"{name}_bits"
            node.output[place] = exact
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to":
                    attribute.i = TensorProto.FLOAT
            nodes.append(helper.make_node("Cast", [exact], [bits], to=low[name]))
            nodes.append(helper.make_node("Cast", [bits], [name], to=TensorProto.FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for entry in changed.opset_import:
        entry.version = OPSET
    return changed
