"""A pack that takes as long as the first number of its latent asks for, so that tests can decide how long."""

from __future__ import annotations

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
from tests.support.small_pack import pack_parameters

# A latent of this value keeps the pack `slow` busy for about a second on the machines tests run on.
SLOW_ONE_SECOND = 1000.0
LOOPS_PER_SECOND = 80_000
_LOOPS_PER_UNIT = LOOPS_PER_SECOND / SLOW_ONE_SECOND

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8


def write_slow(writer: RepositoryWriter, extra: str = "") -> None:
    """Write the pack `slow` in both layouts, with more text for the config of its only stage."""
    label_map = tensor_text("input", "LABEL_MAP", "TYPE_UINT8", "4, 4")
    latent = tensor_text("input", "LATENT", "TYPE_FP32", "1")
    strength = tensor_text("input", "STYLE_STRENGTH", "TYPE_FP32", "1")
    image = tensor_text("output", "IMAGE", "TYPE_UINT8", "4, 4, 3")
    tensors = label_map + latent + strength + image
    writer.model(
        "slow_stage", {1: _slow_stage()}, 'backend: "onnxruntime"\nmax_batch_size: 1\n' + tensors + extra
    )
    names = {name: name for name in ("LABEL_MAP", "LATENT", "STYLE_STRENGTH")}
    step = step_text("slow_stage", names, {"IMAGE": "IMAGE"})
    offer = pack_parameters("slow", strength='{"default": 0, "min": 0, "max": 1}')
    writer.ensemble(
        "slow_label_map",
        f'platform: "ensemble"\nmax_batch_size: 1\n{tensors}ensemble_scheduling {{\n{step}}}\n{offer}',
    )
    writer.model(
        "slow_label_map_fused",
        {1: _slow_stage()},
        f'backend: "onnxruntime"\nmax_batch_size: 1\n{tensors}{extra}{offer}',
    )


def busy_nodes(count: str, nothing: str) -> list[onnx.NodeProto]:
    """Nodes that give 0, FP32 [], after as many rounds of a matrix product as `count`, INT64 [], says."""
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
    return [
        helper.make_node(
            "Constant", [], ["true"], value=helper.make_tensor("true", TensorProto.BOOL, (), [1])
        ),
        helper.make_node("Constant", [], ["start"], value=ones),
        helper.make_node("Loop", [count, "true", "start"], ["end"], body=body),
        constant("times_zero", 0),
        constants("all_axes", 0, 1),
        helper.make_node("Mul", ["end", "times_zero"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros", "all_axes"], [nothing], keepdims=0),
    ]


def _slow_stage() -> onnx.ModelProto:
    """IMAGE = 0, after LATENT * `_LOOPS_PER_UNIT` rounds of a matrix product."""
    nodes = [
        constant("per_unit", _LOOPS_PER_UNIT),
        helper.make_node("Mul", ["LATENT", "per_unit"], ["rounds"]),
        constants("both", 0, 1),
        helper.make_node("ReduceSum", ["rounds", "both"], ["scalar"], keepdims=0),
        helper.make_node("Cast", ["scalar"], ["count"], to=TensorProto.INT64),
        *busy_nodes("count", "nothing"),
        constant("zero", 0),
        helper.make_node("Cast", ["LABEL_MAP"], ["labels"], to=_F),
        helper.make_node("Mul", ["labels", "zero"], ["no_labels"]),
        helper.make_node("Add", ["no_labels", "nothing"], ["sum"]),
        helper.make_node("Mul", ["STYLE_STRENGTH", "zero"], ["no_style"]),
        constants("one", 1),
        helper.make_node("Unsqueeze", ["no_style", "one"], ["no_style3"]),
        helper.make_node("Add", ["sum", "no_style3"], ["all"]),
        constants("last", 3),
        helper.make_node("Unsqueeze", ["all", "last"], ["all4"]),
        constants("rgb", 1, 4, 4, 3),
        helper.make_node("Expand", ["all4", "rgb"], ["expanded"]),
        helper.make_node("Cast", ["expanded"], ["IMAGE"], to=_U8),
    ]
    return onnx_model(
        [("LABEL_MAP", _U8, ("n", 4, 4)), ("LATENT", _F, ("n", 1)), ("STYLE_STRENGTH", _F, ("n", 1))],
        [("IMAGE", _U8, ("n", 4, 4, 3))],
        nodes,
    )
