"""The small `faces64` for every kind of condition: each pixel shows what its model was given for it.

Green is the class, the ink or the red divided by 32, or the upper part of the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from tests.support.model_repository import (
    RepositoryWriter,
    constant,
    constants,
    onnx_model,
    step_text,
    tensor_text,
)
from tests.support.small_pack import LATENT_SIZE, pack_parameters

PROXY_CLUSTERS = 26

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8
_START = 'backend: "onnxruntime"\nmax_batch_size: 16\n'
_TENSORS = {
    "SKETCH": ("TYPE_UINT8", "64, 64"),
    "SCRIBBLE": ("TYPE_UINT8", "64, 64"),
    "LABEL_MAP": ("TYPE_UINT8", "64, 64"),
    "PICTURE": ("TYPE_UINT8", "64, 64, 3"),
    "IMAGE": ("TYPE_UINT8", "64, 64, 3"),
    "TARGET_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
    "SOURCE_HISTOGRAM": ("TYPE_FP32", "20"),
    "STYLE_STRENGTH": ("TYPE_FP32", "1"),
    "LATENT": ("TYPE_FP32", str(LATENT_SIZE)),
}
_HEAD_OUTPUTS = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "SOURCE_HISTOGRAM")
_REARRANGER_INPUTS = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "TARGET_PROXY_MASK")


def write_conditions(writer: RepositoryWriter) -> None:
    """Write the ensembles beside `faces64_label_map`, and the stages that only they have."""
    mapped = ("SOURCE_HISTOGRAM", "STYLE_STRENGTH")
    stages = {
        "faces64_mapper_sketch": (_mapper_sketch(), ("SKETCH", *mapped), "TARGET_PROXY_MASK"),
        "faces64_scribble_completer": (_completer(), ("SCRIBBLE",), "LABEL_MAP"),
        "faces64_proxy_segmenter": (_segmenter(), ("PICTURE",), "TARGET_PROXY_MASK"),
    }
    for name, (model, inputs, output) in stages.items():
        writer.model(name, {1: model}, _START + _tensors("input", *inputs) + _tensors("output", output))
    mapper = "faces64_mapper_label_map"
    completed = _step("faces64_scribble_completer", ("SCRIBBLE",), ("LABEL_MAP",))
    _ensemble(
        writer,
        "sketch",
        "SKETCH",
        [_step("faces64_mapper_sketch", ("SKETCH", *mapped), ("TARGET_PROXY_MASK",))],
    )
    _ensemble(
        writer,
        "scribble",
        "SCRIBBLE",
        [completed, _step(mapper, ("LABEL_MAP", *mapped), ("TARGET_PROXY_MASK",))],
    )
    _ensemble(writer, "proxy_mask", "TARGET_PROXY_MASK", [], proxy_clusters=str(PROXY_CLUSTERS))
    segmented = _step("faces64_proxy_segmenter", ("PICTURE",), ("TARGET_PROXY_MASK",))
    _ensemble(writer, "exemplar", "PICTURE", [segmented])


def _ensemble(
    writer: RepositoryWriter, kind: str, condition: str, steps: Sequence[str], **parameters: str
) -> None:
    mapped = kind in ("sketch", "scribble")
    head = [name for name in _HEAD_OUTPUTS if mapped or name != "SOURCE_HISTOGRAM"]
    all_steps = [
        _step("faces64_generator_head", ("LATENT",), head),
        *steps,
        _step("faces64_rearranger", _REARRANGER_INPUTS, ("REARRANGED_FEATURES",)),
        _step("faces64_generator_tail", ("REARRANGED_FEATURES",), ("IMAGE",)),
    ]
    inputs = (condition, "LATENT", *(("STYLE_STRENGTH",) if mapped else ()))
    strength = '{"default": 0.5, "min": 0.0, "max": 1.0}' if mapped else None
    writer.ensemble(
        f"faces64_{kind}",
        'platform: "ensemble"\nmax_batch_size: 16\n'
        + _tensors("input", *inputs)
        + _tensors("output", "IMAGE")
        + f"ensemble_scheduling {{\n{''.join(all_steps)}}}\n"
        + pack_parameters("faces64", strength=strength, condition=kind, **parameters),
    )


def _tensors(field: str, *names: str) -> str:
    return "".join(tensor_text(field, name, *_TENSORS[name]) for name in names)


def _step(model: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    return step_text(model, {name: name for name in inputs}, {name: name for name in outputs})


def _every_second(tensor: str) -> list[onnx.NodeProto]:
    """`values`: every second pixel of a tensor, FP32."""
    return [
        constants("starts", 0, 0),
        constants("ends", 64, 64),
        constants("axes", 1, 2),
        constants("strides", 2, 2),
        helper.make_node("Slice", [tensor, "starts", "ends", "axes", "strides"], ["sampled"]),
        helper.make_node("Cast", ["sampled"], ["values"], to=_F),
    ]


def _shown(values: str) -> list[onnx.NodeProto]:
    """`high`: 16 * floor(values / 32)."""
    return [
        constant("thirty_two", 32),
        helper.make_node("Div", [values, "thirty_two"], ["divided"]),
        helper.make_node("Floor", ["divided"], ["whole"]),
        constant("sixteen", 16),
        helper.make_node("Mul", ["whole", "sixteen"], ["high"]),
    ]


def _mapper_sketch() -> onnx.ModelProto:
    """TARGET_PROXY_MASK = 16 * floor(ink / 32) + 8 * STYLE_STRENGTH + 0 * histogram; every second pixel."""
    nodes = [
        *_every_second("SKETCH"),
        *_shown("values"),
        constant("eight", 8),
        helper.make_node("Mul", ["STYLE_STRENGTH", "eight"], ["weighted"]),
        constant("zero", 0),
        helper.make_node("Mul", ["SOURCE_HISTOGRAM", "zero"], ["nothings"]),
        constants("one", 1),
        helper.make_node("ReduceSum", ["nothings", "one"], ["nothing"], keepdims=1),
        helper.make_node("Add", ["weighted", "nothing"], ["low"]),
        helper.make_node("Unsqueeze", ["low", "one"], ["low3"]),
        helper.make_node("Add", ["high", "low3"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["TARGET_PROXY_MASK"], to=_U8),
    ]
    return onnx_model(
        [
            ("SKETCH", _U8, ("n", 64, 64)),
            ("SOURCE_HISTOGRAM", _F, ("n", 20)),
            ("STYLE_STRENGTH", _F, ("n", 1)),
        ],
        [("TARGET_PROXY_MASK", _U8, ("n", 32, 32))],
        nodes,
    )


def _completer() -> onnx.ModelProto:
    """LABEL_MAP = the scribble's class, or 0 where nothing is drawn."""
    nodes = [
        helper.make_node("Cast", ["SCRIBBLE"], ["ids"], to=_F),
        constant("not_drawn", 255),
        helper.make_node("Less", ["ids", "not_drawn"], ["drawn"]),
        constant("zero", 0),
        helper.make_node("Where", ["drawn", "ids", "zero"], ["completed"]),
        helper.make_node("Cast", ["completed"], ["LABEL_MAP"], to=_U8),
    ]
    return onnx_model([("SCRIBBLE", _U8, ("n", 64, 64))], [("LABEL_MAP", _U8, ("n", 64, 64))], nodes)


def _segmenter() -> onnx.ModelProto:
    """TARGET_PROXY_MASK = 16 * floor(red / 32) of every second pixel."""
    nodes = [
        constants("first", 0),
        constants("second", 1),
        constants("channels", 3),
        helper.make_node("Slice", ["PICTURE", "first", "second", "channels"], ["red1"]),
        helper.make_node("Squeeze", ["red1", "channels"], ["red"]),
        *_every_second("red"),
        *_shown("values"),
        helper.make_node("Cast", ["high"], ["TARGET_PROXY_MASK"], to=_U8),
    ]
    return onnx_model(
        [("PICTURE", _U8, ("n", 64, 64, 3))], [("TARGET_PROXY_MASK", _U8, ("n", 32, 32))], nodes
    )
