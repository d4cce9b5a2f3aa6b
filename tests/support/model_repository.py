"""Writes small real model repositories: ONNX files and config.pbtxt on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_OPSET = 17
_IR_VERSION = 9

ONE_INSTANCE = "instance_group { kind: KIND_CPU count: 1 }\n"
"""As exported. Triton makes two where nothing is said, each a process that imports ONNX Runtime."""

Tensor = tuple[str, int, Sequence[int | str]]
"""Name, ONNX element type, shape."""


def onnx_model(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], nodes: Sequence[onnx.NodeProto]
) -> onnx.ModelProto:
    """A checked model of the given nodes."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return model


def constant(name: str, value: float) -> onnx.NodeProto:
    """A node that gives one number, FP32 []."""
    return helper.make_node("Constant", [], [name], value_float=float(value))


def constants(name: str, *values: int) -> onnx.NodeProto:
    """A node that gives integers, INT64 [n]."""
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def affine_model(scale: float, offset: float, width: int = 4) -> onnx.ModelProto:
    """OUT = IN * scale + offset, FP32 [batch, width]."""
    nodes = [
        constant("scale", scale),
        constant("offset", offset),
        helper.make_node("Mul", ["IN", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["OUT"]),
    ]
    shape = ("batch", width)
    return onnx_model([("IN", TensorProto.FLOAT, shape)], [("OUT", TensorProto.FLOAT, shape)], nodes)


def sum_model(width: int = 4) -> onnx.ModelProto:
    """OUT = LEFT + RIGHT, FP32 [batch, width]."""
    shape = ("batch", width)
    return onnx_model(
        [("LEFT", TensorProto.FLOAT, shape), ("RIGHT", TensorProto.FLOAT, shape)],
        [("OUT", TensorProto.FLOAT, shape)],
        [helper.make_node("Add", ["LEFT", "RIGHT"], ["OUT"])],
    )


def tensor_text(field: str, name: str, data_type: str = "TYPE_FP32", dims: str = "4") -> str:
    """An `input` or `output` entry of a config."""
    return f'{field} {{ name: "{name}" data_type: {data_type} dims: [ {dims} ] }}\n'


def onnx_config(
    inputs: Sequence[str] = ("IN",),
    outputs: Sequence[str] = ("OUT",),
    max_batch_size: int = 8,
    extra: str = "",
) -> str:
    """The config of an ONNX model with FP32 [4] tensors."""
    return "".join(
        (
            f'backend: "onnxruntime"\nmax_batch_size: {max_batch_size}\n',
            *(tensor_text("input", name) for name in inputs),
            *(tensor_text("output", name) for name in outputs),
            extra,
        )
    )


def step_text(
    model: str, inputs: Mapping[str, str], outputs: Mapping[str, str], version: int = -1, extra: str = ""
) -> str:
    """A `step` of an ensemble: maps from the model's tensor to the ensemble's."""
    maps = [f'input_map {{ key: "{key}" value: "{value}" }}' for key, value in inputs.items()]
    maps += [f'output_map {{ key: "{key}" value: "{value}" }}' for key, value in outputs.items()]
    return f'step {{ model_name: "{model}" model_version: {version} {" ".join(maps)} {extra} }}\n'


def ensemble_config(
    steps: Sequence[str],
    inputs: Sequence[str] = ("IN",),
    outputs: Sequence[str] = ("OUT",),
    max_batch_size: int = 8,
    extra: str = "",
) -> str:
    """The config of an ensemble with FP32 [4] tensors."""
    return "".join(
        (
            f'platform: "ensemble"\nmax_batch_size: {max_batch_size}\n',
            *(tensor_text("input", name) for name in inputs),
            *(tensor_text("output", name) for name in outputs),
            f"ensemble_scheduling {{\n{''.join(steps)}}}\n",
            extra,
        )
    )


class RepositoryWriter:
    """A model repository on disk that a test fills."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def config_file(self, name: str) -> Path:
        """Where a model's config is."""
        return self.root / name / "config.pbtxt"

    def model(self, name: str, versions: Mapping[int, onnx.ModelProto], config: str) -> None:
        """Add an ONNX model with its versions."""
        for version, model in versions.items():
            directory = self.root / name / str(version)
            directory.mkdir(parents=True)
            onnx.save(model, str(directory / "model.onnx"))
        self.config_file(name).write_text(config)

    def affine(self, name: str, scale: float, offset: float, extra: str = "") -> None:
        """Add a model OUT = IN * scale + offset."""
        self.model(name, {1: affine_model(scale, offset)}, onnx_config(extra=extra))

    def ensemble(self, name: str, config: str) -> None:
        """Add an ensemble."""
        (self.root / name / "1").mkdir(parents=True)
        self.config_file(name).write_text(config)

    def diamond(self, extra: str = "", head_extra: str = "") -> None:
        """Add `diamond`: head = 2x, left = head + 1, right = 3 head, OUT = left + right = 8x + 1."""
        self.affine("head", 2, 0, extra=head_extra)
        self.affine("left", 1, 1)
        self.affine("right", 3, 0)
        self.model("join", {1: sum_model()}, onnx_config(inputs=("LEFT", "RIGHT")))
        steps = (
            # Not in the order in which they can run: the graph decides, not the file.
            step_text("join", {"LEFT": "a", "RIGHT": "b"}, {"OUT": "OUT"}),
            step_text("left", {"IN": "h"}, {"OUT": "a"}),
            step_text("right", {"IN": "h"}, {"OUT": "b"}),
            step_text("head", {"IN": "IN"}, {"OUT": "h"}),
        )
        self.ensemble("diamond", ensemble_config(steps, extra=extra))
