"""Whether GPU runtimes will take a graph: operators, types and shapes, by a committed list with sources."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from export.onnx_graph import MAX_IR_VERSION

LIST = Path(__file__).with_name("operators.toml")
MAX_OPSET = 20
"""What Triton's onnxruntime backend of late 2024 reads."""
CODES: Mapping[int, str] = {
    TensorProto.FLOAT: "f",
    TensorProto.FLOAT16: "h",
    TensorProto.BFLOAT16: "b",
    TensorProto.INT32: "i",
    TensorProto.INT64: "l",
    TensorProto.BOOL: "o",
    TensorProto.UINT8: "u",
}
"""Types as the list abbreviates them."""
UINT8_PARTNERS = "fh"
"""What TensorRT casts uint8 from and to."""
SHAPE_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Expand": (1,),
    "Pad": (1, 3),
    "Gather": (1,),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Where": (0,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
}
"""Inputs that are sizes, places or conditions, not data."""


def operator_findings(model: onnx.ModelProto, *, only_tensorrt: bool = False) -> list[str]:
    """What ONNX Runtime's CUDA provider or TensorRT's parser would not take, a line each; empty if nothing.

    Args:
        model: a graph as it is to be served on GPUs.
        only_tensorrt: whether nothing but TensorRT's parser will read it, like graphs in BF16.
    """
    return list(_Inspection(model, only_tensorrt).findings())


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:  # an operator that ONNX does not know, which will be named
        return model


class _Inspection:
    """One graph against the list."""

    def __init__(self, model: onnx.ModelProto, only_tensorrt: bool) -> None:
        listed = tomllib.loads(LIST.read_text())
        self._operators: dict[str, Any] = listed["operators"]
        self._restrictions: dict[str, Any] = listed["restrictions"]
        self._model, self._only_tensorrt = model, only_tensorrt
        self._opset = next(entry.version for entry in model.opset_import if entry.domain == "")
        inferred = _inferred(model).graph
        self._values = {v.name: v for v in (*inferred.input, *inferred.output, *inferred.value_info)}
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self._types = {name: value.type.tensor_type.elem_type for name, value in self._values.items()}
        self._types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}

    def findings(self) -> Iterator[str]:
        yield from self._file()
        yield from self._edges()
        for node in self._model.graph.node:
            if node.domain or node.op_type not in self._operators:
                yield f"{node.op_type} ({node.name}) is not in {LIST.name}"
                continue
            yield from self._kernel(node)
            yield from self._node_types(node)
            yield from self._restricted(node)
        yield from self._shapes()

    def _file(self) -> Iterator[str]:
        model = self._model
        if not self._only_tensorrt:
            if model.ir_version > MAX_IR_VERSION:
                yield f"IR version {model.ir_version}, allowed are up to {MAX_IR_VERSION}"
            if self._opset > MAX_OPSET:
                yield f"opset {self._opset}, allowed are up to {MAX_OPSET}"
        if model.functions:
            yield "the model defines functions"
        for entry in model.opset_import:
            if entry.domain:
                yield f"the model imports operators of domain {entry.domain!r}"
        for tensor in model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                yield f"weight {tensor.name} lies in another file"

    def _edges(self) -> Iterator[str]:
        for value in (*self._model.graph.input, *self._model.graph.output):
            batch, *rest = value.type.tensor_type.shape.dim
            if not batch.dim_param:
                yield f"{value.name}: the batch is fixed at {batch.dim_value}"
            if any(size.dim_value <= 0 for size in rest):
                yield f"{value.name}: a dimension after the batch is not fixed"

    def _kernel(self, node: onnx.NodeProto) -> Iterator[str]:
        since = onnx.defs.get_schema(node.op_type, self._opset).since_version
        if not self._only_tensorrt and since not in self._operators[node.op_type]["since"]:
            yield f"{node.op_type} ({node.name}): no CUDA kernel of version {since}, opset {self._opset}"
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            yield f"{node.op_type} ({node.name}) holds a graph"

    def _node_types(self, node: onnx.NodeProto) -> Iterator[str]:
        row = self._operators[node.op_type]
        skipped = SHAPE_INPUTS.get(node.op_type, ())
        data = [name for place, name in enumerate(node.input) if name and place not in skipped]
        results = [] if node.op_type in {"Equal", "Greater", "Less", "ArgMax", "Shape"} else list(node.output)
        for name in (*data, *results):
            code = CODES.get(self._types.get(name, TensorProto.UNDEFINED), "?")
            for runtime in ("tensorrt",) if self._only_tensorrt else ("cuda", "tensorrt"):
                if code not in row[runtime]:
                    kind = helper.tensor_dtype_to_string(self._types.get(name, TensorProto.UNDEFINED))
                    yield f"{node.op_type} ({node.name}): {runtime} has it not for {name}, {kind}"
        if node.op_type == "Cast":
            yield from self._uint8_cast(node)

    def _uint8_cast(self, node: onnx.NodeProto) -> Iterator[str]:
        pair = [CODES.get(self._types[name], "?") for name in (node.input[0], node.output[0])]
        if "u" not in pair:
            return
        edges = {value.name for value in (*self._model.graph.input, *self._model.graph.output)}
        name = (node.input[0], node.output[0])[pair.index("u")]
        other = pair[1 - pair.index("u")]
        if other not in UINT8_PARTNERS:
            yield f"Cast ({node.name}): TensorRT casts uint8 from and to floating point only"
        if name not in edges:
            yield f"Cast ({node.name}): {name} is uint8 inside the graph; TensorRT has it at the edges only"

    def _restricted(self, node: onnx.NodeProto) -> Iterator[str]:
        for place in self._restrictions["constant_inputs"].get(node.op_type, ()):
            if place < len(node.input) and node.input[place] not in self._constants:
                yield f"{node.op_type} ({node.name}): input {place} must be a constant"
        for name, allowed in self._restrictions.get(node.op_type, {}).items():
            found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
            values = [value.decode() if isinstance(value, bytes) else value for value in found]
            if values and values[0] not in allowed:
                yield f"{node.op_type} ({node.name}): {name} is {values[0]!r}, allowed are {allowed}"

    def _shapes(self) -> Iterator[str]:
        """Only the batch may be dynamic, so images and features have one fixed size everywhere."""
        for name, value in self._values.items():
            shape = value.type.tensor_type.shape.dim
            if len(shape) == 4 and any(size.dim_value <= 0 for size in shape[1:]):
                yield f"{name}: channels, height or width are not fixed"
