"""Graphs in less than FP32, with what does not stand it left in FP32.

The types are written into the ONNX file, so that TensorRT's strongly typed networks take them as they are
and the very same file can be tried anywhere. ONNX Runtime's converter is not used: between two operators that
it leaves in FP32 it still casts to FP16 and back, so the squares inside a norm would overflow, and it knows
no BF16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.uint8_edges import EDGE

LOW_TYPES: Mapping[str, int] = MappingProxyType({"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16})
BF16_OPSET = 22
"""The first in which convolutions take BF16. Only TensorRT's parser reads such graphs in production."""

KEPT_FP32: Mapping[str, str] = MappingProxyType(
    {
        "Pow": "squares of features leave FP16's range",
        "ReduceMean": "a norm's sum over all channels; a histogram's over all cells",
        "ReduceSum": "a norm's sum over all channels",
        "Sqrt": "a norm's, of what may be close to zero",
        "Reciprocal": "a norm's, of what may be close to zero",
        "BatchNormalization": "loses its small differences from the mean",
        "InstanceNormalization": "loses its small differences from the mean",
        "LayerNormalization": "loses its small differences from the mean",
        "Softmax": "a sum of exponentials over all cells",
        "Max": "the guard of a square root; bounds of a crop",
        "Min": "bounds of a crop: FP16 has not every quarter of a pixel, BF16 not every pixel",
        "ReduceMax": "bounds of a crop",
        "ReduceMin": "bounds of a crop",
        "Abs": "distances of pixels from a place in a crop",
        "ArgMax": "decides: close calls must not become ties",
        "Clip": "on the way to 8 bits: FP16 resolves an eighth of a level there, BF16 a whole one",
        "Round": "on the way to 8 bits: FP16 resolves an eighth of a level there, BF16 a whole one",
    }
)
"""Operators that stay in FP32, with the reason."""
FOLLOWING = frozenset({"Add", "Sub", "Mul", "Div", "Transpose", "Unsqueeze"})
"""Cheap operators that stay in FP32 when only such operators read them, like a norm's epsilon."""
DECIDING_LAYERS = frozenset({"Conv", "Gemm"})
"""Stay in FP32 when an `ArgMax` reads them: their sums are what is ranked."""
ALWAYS_FP32_INPUTS: Mapping[str, frozenset[int]] = MappingProxyType({"Resize": frozenset({1, 2})})
"""Inputs that are FP32 by ONNX's definition of the operator: regions and scales."""


def in_precision(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """A copy of an FP32 graph that computes in a lower precision; inputs and outputs keep their types.

    Args:
        model: an FP32 graph without subgraphs.
        precision: "fp16" or "bf16"; "fp32" gives a plain copy.

    Raises:
        ValueError: if there is no such precision, or a weight does not fit it.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    if precision == "fp32":
        return converted
    if precision not in LOW_TYPES:
        raise ValueError(
            f"precision: got {precision!r}, allowed are 'fp32', {', '.join(map(repr, LOW_TYPES))}"
        )
    _Conversion(converted, LOW_TYPES[precision]).apply()
    if precision == "bf16":
        for entry in converted.opset_import:
            entry.version = max(entry.version, BF16_OPSET)
    onnx.checker.check_model(converted, full_check=True)
    return converted


def precision_of(model: onnx.ModelProto) -> str:
    """What a graph computes in, told by its weights."""
    found = {tensor.data_type for tensor in model.graph.initializer}
    return next((name for name, low in LOW_TYPES.items() if low in found), "fp32")


def kept_nodes(graph: onnx.GraphProto) -> set[str]:
    """Results of the nodes that stay in FP32."""
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    kept: set[str] = set()
    for node in reversed(graph.node):
        reading = [reader for name in node.output for reader in readers[name]]
        if (
            node.op_type in KEPT_FP32
            or (node.op_type in FOLLOWING and reading and all(reader.output[0] in kept for reader in reading))
            or (node.op_type in DECIDING_LAYERS and any(reader.op_type == "ArgMax" for reader in reading))
        ):
            kept.update(node.output)
    return kept


class _Conversion:
    """Rewrites one graph in place: a tensor has the type of its node, and casts where others are needed."""

    def __init__(self, model: onnx.ModelProto, low: int) -> None:
        self._graph, self._low = model.graph, low
        self._floats = _float_tensors(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._outputs = {value.name for value in model.graph.output}
        self._lowered: set[str] = set()
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []

    def apply(self) -> None:
        graph, kept = self._graph, kept_nodes(self._graph)
        for node in graph.node:
            is_low = node.output[0] not in kept and not node.name.startswith(EDGE)
            fixed = ALWAYS_FP32_INPUTS.get(node.op_type, frozenset())
            for place, name in enumerate(node.input):
                if name in self._floats:
                    node.input[place] = self._as(name, low=is_low and place not in fixed)
            self._nodes.append(node)
            if is_low:
                self._lower_results(node)
        used = {name for node in self._nodes for name in node.input}
        nodes, weights = self._nodes, [self._weights[name] for name in self._weights if name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(nodes)
        graph.initializer.extend(weights)

    def _lower_results(self, node: onnx.NodeProto) -> None:
        for place, name in enumerate(node.output):
            if name not in self._floats:
                continue
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to":
                    attribute.i = self._low
            if name in self._outputs:  # which keep their names and types
                node.output[place] = self._casts[name, self._low] = f"{name}_low"
                self._add_cast(f"{name}_low", name, TensorProto.FLOAT)
            else:
                self._lowered.add(name)

    def _as(self, name: str, *, low: bool) -> str:
        """The name under which a tensor can be read in the low type, or in FP32."""
        if low == (name in self._lowered):
            return name
        wanted = self._low if low else TensorProto.FLOAT
        if (name, wanted) not in self._casts:
            result = self._casts[name, wanted] = f"{name}_{'low' if low else 'fp32'}"
            if name in self._weights:
                self._weights[result] = _weight_as(self._weights[name], wanted, result)
            else:
                self._add_cast(name, result, wanted)
        return self._casts[name, wanted]

    def _add_cast(self, source: str, result: str, to: int) -> None:
        self._nodes.append(helper.make_node("Cast", [source], [result], name=f"cast_{result}", to=to))


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    typed = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    typed.update({value.name: value.type.tensor_type.elem_type for value in graph.value_info})
    typed.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    return {name for name, kind in typed.items() if kind == TensorProto.FLOAT}


def _weight_as(tensor: onnx.TensorProto, wanted: int, name: str) -> onnx.TensorProto:
    exact = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        values = exact.astype(helper.tensor_dtype_to_np_dtype(wanted))
    if (np.isfinite(exact) & np.isinf(values.astype(np.float32))).any():
        kind = helper.tensor_dtype_to_string(wanted)
        raise ValueError(f"weight {tensor.name}: holds a number that {kind} cannot")
    return numpy_helper.from_array(values, name)
