"""A small model repository that looks to the gateway like the shipped one.

`faces64` has the names, tensors and parameters of the real pack and networks of a few operators: each
pixel shows its class (green), the latent's mean (red) and the style strength (blue). `slow` takes as long
as the first number of its latent asks for, so that tests can decide which request is slow.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.support.model_repository import RepositoryWriter, onnx_model, step_text, tensor_text

PALETTE = (
    (0, "background", "background", "#1f1f1f"),
    (1, "hair", "hair or headwear", "#8b5a2b"),
    (2, "skin", "skin", "#f2c6a0"),
    (3, "brows", "brows", "#5a3a1b"),
    (4, "eyes", "eyes", "#3a6fd8"),
    (5, "nose", "nose", "#e59a6f"),
    (6, "mouth", "mouth", "#c8324b"),
    (7, "neck", "neck or clothes", "#6fae5f"),
)
LATENT_SIZE = 100
LATENT_SCALE = 0.9
VERSION = "1.2.3"

# A latent of this value keeps the pack `slow` busy for about a second on the machines tests run on.
SLOW_ONE_SECOND = 1000.0
_LOOPS_PER_UNIT = 80.0

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8


def write_repository(root: Path) -> None:
    """Write both packs into `root`."""
    writer = RepositoryWriter(root)
    _write_faces64(writer)
    _write_slow(writer)


def pack_parameters(pack: str, *, strength: str, **other: str) -> str:
    """The parameters by which an ensemble's config offers a pack to callers."""
    classes = [{"id": i, "name": name, "title": title, "color": color} for i, name, title, color in PALETTE]
    values = {
        "pack": pack,
        "method": "sis-ug",
        "condition": "label_map",
        "title": f"Title of {pack}",
        "description": f"What {pack} makes.",
        "palette": json.dumps(classes),
        "latent_scale": str(LATENT_SCALE),
        "style_strength": strength,
        "model_version": VERSION,
        **other,
    }
    return "".join(
        f'parameters {{ key: "maskweave.{key}" value {{ string_value: {json.dumps(value)} }} }}\n'
        for key, value in values.items()
    )


def _write_faces64(writer: RepositoryWriter) -> None:
    label_map = tensor_text("input", "LABEL_MAP", "TYPE_UINT8", "64, 64")
    strength = tensor_text("input", "STYLE_STRENGTH", "TYPE_FP32", "1")
    latent = tensor_text("input", "LATENT", "TYPE_FP32", str(LATENT_SIZE))
    image = tensor_text("output", "IMAGE", "TYPE_UINT8", "64, 64, 3")

    def between(kind: str, *names: str) -> str:
        known = {
            "SOURCE_HISTOGRAM": ("TYPE_FP32", "20"),
            "TARGET_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
            "SOURCE_PROXY_MASK": ("TYPE_UINT8", "32, 32"),
            "FEATURES_8X8": ("TYPE_FP32", "256, 8, 8"),
            "FEATURES_16X16": ("TYPE_FP32", "128, 16, 16"),
            "REARRANGED_FEATURES": ("TYPE_FP32", "3, 32, 32"),
        }
        return "".join(tensor_text(kind, name, *known[name]) for name in names)

    head_outputs = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "SOURCE_HISTOGRAM")
    rearranger_inputs = ("FEATURES_8X8", "FEATURES_16X16", "SOURCE_PROXY_MASK", "TARGET_PROXY_MASK")
    start = 'backend: "onnxruntime"\nmax_batch_size: 16\n'
    writer.model(
        "faces64_mapper_label_map",
        {1: _mapper()},
        start
        + label_map
        + between("input", "SOURCE_HISTOGRAM")
        + strength
        + between("output", "TARGET_PROXY_MASK"),
    )
    writer.model(
        "faces64_generator_head",
        {1: _head()},
        start + latent + between("output", *head_outputs) + "response_cache { enable: true }\n",
    )
    writer.model(
        "faces64_rearranger",
        {1: _rearranger()},
        start + between("input", *rearranger_inputs) + between("output", "REARRANGED_FEATURES"),
    )
    writer.model(
        "faces64_generator_tail", {1: _tail()}, start + between("input", "REARRANGED_FEATURES") + image
    )

    def same(*names: str) -> dict[str, str]:
        return {name: name for name in names}

    steps = (
        step_text("faces64_generator_head", same("LATENT"), same(*head_outputs)),
        step_text(
            "faces64_mapper_label_map",
            same("LABEL_MAP", "SOURCE_HISTOGRAM", "STYLE_STRENGTH"),
            same("TARGET_PROXY_MASK"),
        ),
        step_text("faces64_rearranger", same(*rearranger_inputs), same("REARRANGED_FEATURES")),
        step_text("faces64_generator_tail", same("REARRANGED_FEATURES"), same("IMAGE")),
    )
    writer.ensemble(
        "faces64_label_map",
        'platform: "ensemble"\nmax_batch_size: 16\n'
        + label_map
        + latent
        + strength
        + image
        + f"ensemble_scheduling {{\n{''.join(steps)}}}\n"
        + pack_parameters("faces64", strength='{"default": 0.5, "min": 0.0, "max": 1.0}'),
    )


def _mapper() -> onnx.ModelProto:
    """TARGET_PROXY_MASK = every second pixel of 16 * LABEL_MAP + 8 * STYLE_STRENGTH + 0 * histogram."""
    nodes = [
        _ints("starts", 0, 0),
        _ints("ends", 64, 64),
        _ints("axes", 1, 2),
        _ints("strides", 2, 2),
        helper.make_node("Slice", ["LABEL_MAP", "starts", "ends", "axes", "strides"], ["ids"]),
        helper.make_node("Cast", ["ids"], ["values"], to=_F),
        _float("sixteen", 16),
        helper.make_node("Mul", ["values", "sixteen"], ["high"]),
        _float("eight", 8),
        helper.make_node("Mul", ["STYLE_STRENGTH", "eight"], ["weighted"]),
        _float("zero", 0),
        helper.make_node("Mul", ["SOURCE_HISTOGRAM", "zero"], ["nothings"]),
        _ints("one", 1),
        helper.make_node("ReduceSum", ["nothings", "one"], ["nothing"], keepdims=1),
        helper.make_node("Add", ["weighted", "nothing"], ["low"]),
        helper.make_node("Unsqueeze", ["low", "one"], ["low3"]),
        helper.make_node("Add", ["high", "low3"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["TARGET_PROXY_MASK"], to=_U8),
    ]
    return onnx_model(
        [
            ("LABEL_MAP", _U8, ("n", 64, 64)),
            ("SOURCE_HISTOGRAM", _F, ("n", 20)),
            ("STYLE_STRENGTH", _F, ("n", 1)),
        ],
        [("TARGET_PROXY_MASK", _U8, ("n", 32, 32))],
        nodes,
    )


def _head() -> onnx.ModelProto:
    """All features are the latent's mean; the source's mask is 0 and its histogram the latent's start."""
    nodes = [
        helper.make_node("ReduceMean", ["LATENT"], ["mean"], axes=[1], keepdims=1),
        _ints("spatial", 2, 3),
        helper.make_node("Unsqueeze", ["mean", "spatial"], ["mean4"]),
        _ints("shape8", 1, 256, 8, 8),
        helper.make_node("Expand", ["mean4", "shape8"], ["FEATURES_8X8"]),
        _ints("shape16", 1, 128, 16, 16),
        helper.make_node("Expand", ["mean4", "shape16"], ["FEATURES_16X16"]),
        _ints("from", 0),
        _ints("to", 20),
        _ints("one", 1),
        helper.make_node("Slice", ["LATENT", "from", "to", "one"], ["SOURCE_HISTOGRAM"]),
        _ints("two", 2),
        helper.make_node("Unsqueeze", ["mean", "two"], ["mean3"]),
        _float("zero", 0),
        helper.make_node("Mul", ["mean3", "zero"], ["nothing"]),
        _ints("shape32", 1, 32, 32),
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


def _rearranger() -> onnx.ModelProto:
    """Channels: the latent's mean, the target's high part (class), its low part (style strength)."""
    nodes = [
        helper.make_node("ReduceMean", ["FEATURES_16X16"], ["mean16"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("ReduceMean", ["FEATURES_8X8"], ["mean8"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Add", ["mean16", "mean8"], ["means"]),
        helper.make_node("Cast", ["SOURCE_PROXY_MASK"], ["source"], to=_F),
        helper.make_node("Cast", ["TARGET_PROXY_MASK"], ["target"], to=_F),
        _ints("one", 1),
        helper.make_node("Unsqueeze", ["source", "one"], ["source4"]),
        helper.make_node("Unsqueeze", ["target", "one"], ["target4"]),
        helper.make_node("Add", ["means", "source4"], ["red"]),
        _float("sixteen", 16),
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


def _tail() -> onnx.ModelProto:
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
        _float("least", 0),
        _float("most", 255),
        helper.make_node("Clip", ["hwc", "least", "most"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["IMAGE"], to=_U8),
    ]
    return onnx_model(
        [("REARRANGED_FEATURES", _F, ("n", 3, 32, 32))], [("IMAGE", _U8, ("n", 64, 64, 3))], nodes
    )


def _write_slow(writer: RepositoryWriter) -> None:
    label_map = tensor_text("input", "LABEL_MAP", "TYPE_UINT8", "4, 4")
    latent = tensor_text("input", "LATENT", "TYPE_FP32", "1")
    strength = tensor_text("input", "STYLE_STRENGTH", "TYPE_FP32", "1")
    image = tensor_text("output", "IMAGE", "TYPE_UINT8", "4, 4, 3")
    tensors = label_map + latent + strength + image
    writer.model("slow_stage", {1: _slow_stage()}, 'backend: "onnxruntime"\nmax_batch_size: 1\n' + tensors)
    names = {name: name for name in ("LABEL_MAP", "LATENT", "STYLE_STRENGTH")}
    step = step_text("slow_stage", names, {"IMAGE": "IMAGE"})
    writer.ensemble(
        "slow_label_map",
        'platform: "ensemble"\nmax_batch_size: 1\n'
        + tensors
        + f"ensemble_scheduling {{\n{step}}}\n"
        + pack_parameters("slow", strength='{"default": 0, "min": 0, "max": 1}'),
    )


def _slow_stage() -> onnx.ModelProto:
    """IMAGE = 0, after LATENT * `_LOOPS_PER_UNIT` rounds of a matrix product."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["carried", "carried"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("carried", _F, (64, 64)),
        ],
        [
            helper.make_tensor_value_info("go_on_out", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", _F, (64, 64)),
        ],
    )
    ones = helper.make_tensor("ones", _F, (64, 64), [1.0] * 64 * 64)
    nodes = [
        _float("per_unit", _LOOPS_PER_UNIT),
        helper.make_node("Mul", ["LATENT", "per_unit"], ["rounds"]),
        _ints("both", 0, 1),
        helper.make_node("ReduceSum", ["rounds", "both"], ["scalar"], keepdims=0),
        helper.make_node("Cast", ["scalar"], ["count"], to=TensorProto.INT64),
        helper.make_node(
            "Constant", [], ["true"], value=helper.make_tensor("true", TensorProto.BOOL, (), [1])
        ),
        helper.make_node("Constant", [], ["start"], value=ones),
        helper.make_node("Loop", ["count", "true", "start"], ["end"], body=body),
        _float("zero", 0),
        helper.make_node("Mul", ["end", "zero"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros", "both"], ["nothing"], keepdims=0),
        helper.make_node("Cast", ["LABEL_MAP"], ["labels"], to=_F),
        helper.make_node("Mul", ["labels", "zero"], ["no_labels"]),
        helper.make_node("Add", ["no_labels", "nothing"], ["sum"]),
        helper.make_node("Mul", ["STYLE_STRENGTH", "zero"], ["no_style"]),
        _ints("one", 1),
        helper.make_node("Unsqueeze", ["no_style", "one"], ["no_style3"]),
        helper.make_node("Add", ["sum", "no_style3"], ["all"]),
        _ints("last", 3),
        helper.make_node("Unsqueeze", ["all", "last"], ["all4"]),
        _ints("rgb", 1, 4, 4, 3),
        helper.make_node("Expand", ["all4", "rgb"], ["expanded"]),
        helper.make_node("Cast", ["expanded"], ["IMAGE"], to=_U8),
    ]
    return onnx_model(
        [("LABEL_MAP", _U8, ("n", 4, 4)), ("LATENT", _F, ("n", 1)), ("STYLE_STRENGTH", _F, ("n", 1))],
        [("IMAGE", _U8, ("n", 4, 4, 3))],
        nodes,
    )


def _float(name: str, value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_float=float(value))


def _ints(name: str, *values: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=list(values))
