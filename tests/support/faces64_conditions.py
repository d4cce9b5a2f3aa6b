"""The small `faces64` for every kind of condition: each pixel shows what its model was given for it.

Green is the class, the ink or the red divided by 32, or the upper part of the cluster.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.support.faces64_config import MAPPED, START, step, tensors, write_ensemble
from tests.support.faces64_networks import every_second, mapper_of
from tests.support.model_repository import RepositoryWriter, constant, constants, onnx_model

PROXY_CLUSTERS = 26

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8


def write_conditions(writer: RepositoryWriter) -> None:
    """Write the ensembles beside `faces64_label_map`, and the stages that only they have."""
    stages = {
        "faces64_mapper_sketch": (_mapper_sketch(), ("SKETCH", *MAPPED), "TARGET_PROXY_MASK"),
        "faces64_scribble_completer": (_completer(), ("SCRIBBLE",), "LABEL_MAP"),
        "faces64_proxy_segmenter": (_segmenter(), ("PICTURE",), "TARGET_PROXY_MASK"),
    }
    for name, (model, inputs, output) in stages.items():
        writer.model(name, {1: model}, START + tensors("input", *inputs) + tensors("output", output))
    mapper = "faces64_mapper_label_map"
    completed = step("faces64_scribble_completer", ("SCRIBBLE",), ("LABEL_MAP",))
    write_ensemble(
        writer,
        "sketch",
        "SKETCH",
        [step("faces64_mapper_sketch", ("SKETCH", *MAPPED), ("TARGET_PROXY_MASK",))],
    )
    write_ensemble(
        writer,
        "scribble",
        "SCRIBBLE",
        [completed, step(mapper, ("LABEL_MAP", *MAPPED), ("TARGET_PROXY_MASK",))],
    )
    write_ensemble(writer, "proxy_mask", "TARGET_PROXY_MASK", [], proxy_clusters=str(PROXY_CLUSTERS))
    segmented = step("faces64_proxy_segmenter", ("PICTURE",), ("TARGET_PROXY_MASK",))
    write_ensemble(writer, "exemplar", "PICTURE", [segmented])


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
    """The high part is 16 * floor(ink / 32)."""
    return mapper_of("SKETCH", _shown("values"))


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
        *every_second("red"),
        *_shown("values"),
        helper.make_node("Cast", ["high"], ["TARGET_PROXY_MASK"], to=_U8),
    ]
    return onnx_model(
        [("PICTURE", _U8, ("n", 64, 64, 3))], [("TARGET_PROXY_MASK", _U8, ("n", 32, 32))], nodes
    )
