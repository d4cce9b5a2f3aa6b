"""The stages of a small `faces64`: each pixel shows its class, the latent and the style strength."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from tests.support.model_repository import constant, constants, onnx_model
from tests.support.small_pack import LATENT_SIZE

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8


def mapper() -> onnx.ModelProto:
    """The high part is 16 * class."""
    return mapper_of(
        "LABEL_MAP", [constant("sixteen", 16), helper.make_node("Mul", ["values", "sixteen"], ["high"])]
    )


def mapper_of(condition: str, high: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """TARGET_PROXY_MASK = a high part, which `high` makes of `values`, + 8 * STYLE_STRENGTH + 0 * histogram.

    The tensor `values` has every second pixel of the tensor `condition`; `high` gives the tensor `high`.
    """
    nodes = [
        *every_second(condition),
        *high,
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
            (condition, _U8, ("n", 64, 64)),
            ("SOURCE_HISTOGRAM", _F, ("n", 20)),
            ("STYLE_STRENGTH", _F, ("n", 1)),
        ],
        [("TARGET_PROXY_MASK", _U8, ("n", 32, 32))],
        nodes,
    )


def every_second(tensor: str) -> list[onnx.NodeProto]:
    """`values`: every second pixel of a tensor, FP32."""
    return [
        constants("starts", 0, 0),
        constants("ends", 64, 64),
        constants("axes", 1, 2),
        constants("strides", 2, 2),
        helper.make_node("Slice", [tensor, "starts", "ends", "axes", "strides"], ["sampled"]),
        helper.make_node("Cast", ["sampled"], ["values"], to=_F),
    ]


def head() -> onnx.ModelProto:
    """All features are the latent's mean; the source's mask is 0 and its histogram the latent's start."""
    nodes = [
        helper.make_node("ReduceMean", ["LATENT"], ["mean"], axes=[1], keepdims=1),
        constants("spatial", 2, 3),
        helper.make_node("Unsqueeze", ["mean", "spatial"], ["mean4"]),
        constants("shape8", 1, 256, 8, 8),
        helper.make_node("Expand", ["mean4", "shape8"], ["FEATURES_8X8"]),
        constants("shape16", 1, 128, 16, 16),
        helper.make_node("Expand", ["mean4", "shape16"], ["FEATURES_16X16"]),
        constants("from", 0),
        constants("to", 20),
        constants("one", 1),
        helper.make_node("Slice", ["LATENT", "from", "to", "one"], ["SOURCE_HISTOGRAM"]),
        constants("two", 2),
        helper.make_node("Unsqueeze", ["mean", "two"], ["mean3"]),
        constant("zero", 0),
        helper.make_node("Mul", ["mean3", "zero"], ["nothing"]),
        constants("shape32", 1, 32, 32),
        helper.make_node("Expand", ["nothing", "shape32"], ["nothings"]),
        helper.make_node("Cast", ["nothings"], ["SOURCE_PROXY_MASK"], to=_U8),
    ]
    return onnx_model(
        [("LATENT", _F, ("n", LATENT_SIZE))],
        [
            ("FEATURES_8X8", _F, ("n", 256, 8, 8)),
            ("FEATURES_16X16", _F, ("n", 128, 16, 16)),
            ("SOURCE_PROXY_MASK", _U8, ("n", 32, 32)),
            ("SOURCE_HISTOGRAM", _F, ("n", 20)),
        ],
        nodes,
    )


def rearranger() -> onnx.ModelProto:
    """Channels: the latent's mean, the target's high part (class), its low part (style strength)."""
    nodes = [
        helper.make_node("ReduceMean", ["FEATURES_16X16"], ["mean16"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("ReduceMean", ["FEATURES_8X8"], ["mean8"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Add", ["mean16", "mean8"], ["means"]),
        helper.make_node("Cast", ["SOURCE_PROXY_MASK"], ["source"], to=_F),
        helper.make_node("Cast", ["TARGET_PROXY_MASK"], ["target"], to=_F),
        constants("one", 1),
        helper.make_node("Unsqueeze", ["source", "one"], ["source4"]),
        helper.make_node("Unsqueeze", ["target", "one"], ["target4"]),
        helper.make_node("Add", ["means", "source4"], ["red"]),
        constant("sixteen", 16),
        helper.make_node("Div", ["target4", "sixteen"], ["divided"]),
        helper.make_node("Floor", ["divided"], ["green"]),
        helper.make_node("Mul", ["green", "sixteen"], ["high"]),
        helper.make_node("Sub", ["target4", "high"], ["blue"]),
        helper.make_node("Concat", ["red", "green", "blue"], ["REARRANGED_FEATURES"], axis=1),
    ]
    return onnx_model(
        [
            ("FEATURES_8X8", _F, ("n", 256, 8, 8)),
            ("FEATURES_16X16", _F, ("n", 128, 16, 16)),
            ("SOURCE_PROXY_MASK", _U8, ("n", 32, 32)),
            ("TARGET_PROXY_MASK", _U8, ("n", 32, 32)),
        ],
        [("REARRANGED_FEATURES", _F, ("n", 3, 32, 32))],
        nodes,
    )


def tail() -> onnx.ModelProto:
    """IMAGE = twice the size of: 128 + 200 * red, 30 * green, 30 * blue, clipped."""
    nodes = [
        helper.make_node(
            "Constant", [], ["gain"], value=helper.make_tensor("gain", _F, (1, 3, 1, 1), (200.0, 30.0, 30.0))
        ),
        helper.make_node(
            "Constant",
            [],
            ["offset"],
            value=helper.make_tensor("offset", _F, (1, 3, 1, 1), (128.0, 0.0, 0.0)),
        ),
        helper.make_node("Mul", ["REARRANGED_FEATURES", "gain"], ["gained"]),
        helper.make_node("Add", ["gained", "offset"], ["small"]),
        helper.make_node(
            "Constant", [], ["scales"], value=helper.make_tensor("scales", _F, (4,), (1.0, 1.0, 2.0, 2.0))
        ),
        helper.make_node(
            "Resize",
            ["small", "", "scales"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Transpose", ["large"], ["hwc"], perm=[0, 2, 3, 1]),
        constant("least", 0),
        constant("most", 255),
        helper.make_node("Clip", ["hwc", "least", "most"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["IMAGE"], to=_U8),
    ]
    return onnx_model(
        [("REARRANGED_FEATURES", _F, ("n", 3, 32, 32))], [("IMAGE", _U8, ("n", 64, 64, 3))], nodes
    )
