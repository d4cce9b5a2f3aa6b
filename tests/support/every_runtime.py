"""What a graph must be like for ONNX Runtime, Triton and TensorRT alike."""

from __future__ import annotations

import onnx

from export.operators import operator_findings
from export.uint8_edges import with_uint8_at_edges


def assert_for_every_runtime(model: onnx.ModelProto) -> None:
    """Versions that all read, any batch, operators that all have, nothing random."""
    assert model.ir_version <= 10
    assert all(entry.version <= 20 for entry in model.opset_import)
    shapes = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    assert {shape[0].dim_param for shape in shapes} == {"batch"}
    assert operator_findings(with_uint8_at_edges(model)) == []
    assert not any(node.op_type.startswith("Random") for node in model.graph.node)
    # No convolution has weights that are computed: that would be a group for each sample.
    stored = {tensor.name for tensor in model.graph.initializer}
    stored |= {  # in half precision
        node.output[0] for node in model.graph.node if node.op_type == "Cast" and node.input[0] in stored
    }
    convolved = {node.input[1] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    assert convolved <= stored
