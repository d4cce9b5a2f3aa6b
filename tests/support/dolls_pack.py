"""A pack with styles in which one sees them: a style's code is the colour of its classes.

Each pixel is 128 + 32 * code of its class's style, in three channels; the encoder reads the same off an
image. `dolls` does it at once, `slow_dolls` takes a fifth of a second for every image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.support.model_repository import (
    ONE_INSTANCE,
    RepositoryWriter,
    constant,
    constants,
    onnx_model,
    step_text,
    tensor_text,
)
from tests.support.slow_pack import LOOPS_PER_SECOND, busy_nodes
from tests.support.small_pack import pack_parameters

PALETTE = ("background", "hair", "skin", "eyes", "nose")
STYLE_OF_CLASS = (0, 1, 2, 3, 2)
"""The nose takes the skin's style."""

STYLES, SIZE = 4, 3
SIDE = 8
GREY, SCALE = 128, 32
LOG_VARIANCE = -2.0
BACKGROUND, HAIR, SKIN, EYES, NOSE = range(5)

LABEL_MAP = np.repeat(np.array([0, 1, 2, 2, 3, 3, 4, 4], np.uint8)[:, None], SIDE, axis=1)
"""All classes as stripes, uint8 [8, 8]."""

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8
_I64 = TensorProto.INT64


def color(code: Sequence[float] | NDArray[np.float32]) -> tuple[int, ...]:
    """The colour of the pixels of a style with this code."""
    shown = np.clip(np.round(GREY + SCALE * np.asarray(code, np.float32)), 0, 255)
    return tuple(shown.astype(int).tolist())


def single_style(latent: NDArray[np.float32], style: int) -> NDArray[np.float32]:
    """What the prior draws for a style by itself."""
    codes: NDArray[np.float32] = latent.reshape(STYLES, SIZE)[style]
    return codes


def joint_style(latent: NDArray[np.float32], style: int) -> NDArray[np.float32]:
    """What the prior draws for a style together with the others."""
    half: NDArray[np.float32] = single_style(latent, style) * np.float32(0.5) + latent.mean()
    return half


def write_dolls(writer: RepositoryWriter, extra: str = "") -> None:
    """Write the packs `dolls` and `slow_dolls`, with more text for the configs of their stages."""
    _write(writer, "dolls", 0, extra)
    _write(writer, "slow_dolls", LOOPS_PER_SECOND // 5, extra)


def _write(writer: RepositoryWriter, pack: str, rounds: int, extra: str) -> None:
    side, codes = f"{SIDE}, {SIDE}", f"{STYLES}, {SIZE}"
    label_map = tensor_text("input", "LABEL_MAP", "TYPE_UINT8", side)
    picture = tensor_text("input", "PICTURE", "TYPE_UINT8", f"{side}, 3")
    image = tensor_text("output", "IMAGE", "TYPE_UINT8", f"{side}, 3")
    latent = tensor_text("input", "LATENT", "TYPE_FP32", str(STYLES * SIZE))
    given = tensor_text("input", "GIVEN_STYLES", "TYPE_FP32", codes)
    given += tensor_text("input", "STYLE_GIVEN", "TYPE_UINT8", str(STYLES))

    def outputs(*names: str) -> str:
        return "".join(tensor_text("output", name, "TYPE_FP32", codes) for name in names)

    start = f'backend: "onnxruntime"\nmax_batch_size: 8\n{ONE_INSTANCE}'
    encoded = outputs("STYLE_MEAN", "STYLE_LOG_VARIANCE")
    writer.model(f"{pack}_encoder", {1: _encoder()}, start + picture + label_map + encoded + extra)
    drawn = outputs("JOINT_STYLES", "SINGLE_STYLES")
    writer.model(f"{pack}_prior", {1: _prior()}, start + latent + drawn + extra)
    joint = tensor_text("input", "JOINT_STYLES", "TYPE_FP32", codes)
    writer.model(f"{pack}_decoder", {1: _decoder(rounds)}, start + label_map + joint + given + image + extra)

    def same(*names: str) -> dict[str, str]:
        return {name: name for name in names}

    steps = (
        step_text(f"{pack}_prior", same("LATENT"), same("JOINT_STYLES")),
        step_text(
            f"{pack}_decoder",
            same("LABEL_MAP", "JOINT_STYLES", "GIVEN_STYLES", "STYLE_GIVEN"),
            same("IMAGE"),
        ),
    )
    classes = [{"id": i, "name": name, "color": f"#{i:06x}"} for i, name in enumerate(PALETTE)]
    offer = pack_parameters(
        pack,
        strength='{"default": 0, "min": 0, "max": 0}',
        method="groupdnet",
        palette=json.dumps(classes),
        style_encoder=f"{pack}_encoder",
        style_prior=f"{pack}_prior",
        style_classes=",".join(map(str, STYLE_OF_CLASS)),
        style_size=str(SIZE),
    )
    writer.ensemble(
        f"{pack}_label_map",
        'platform: "ensemble"\nmax_batch_size: 8\n'
        + label_map
        + latent
        + given
        + image
        + f"ensemble_scheduling {{\n{''.join(steps)}}}\n"
        + offer,
    )


def _style_of_pixel() -> list[onnx.NodeProto]:
    """`of_pixel`: one-hot styles, FP32 [n, pixels, styles]."""
    values = helper.make_tensor("hot", _F, (2,), [0.0, 1.0])
    return [
        constants("table", *STYLE_OF_CLASS),
        helper.make_node("Cast", ["LABEL_MAP"], ["ids"], to=_I64),
        helper.make_node("Gather", ["table", "ids"], ["index"]),
        helper.make_node("Constant", [], ["hot"], value=values),
        constants("depth", STYLES),
        helper.make_node("OneHot", ["index", "depth", "hot"], ["one_hot"], axis=-1),
        constants("flat", 0, SIDE * SIDE, STYLES),
        helper.make_node("Reshape", ["one_hot", "flat"], ["of_pixel"]),
        constant("grey", GREY),
        constant("scale", SCALE),
    ]


def _encoder() -> onnx.ModelProto:
    """STYLE_MEAN = the mean colour of the pixels of each style, as a code."""
    nodes = [
        *_style_of_pixel(),
        helper.make_node("Cast", ["PICTURE"], ["levels"], to=_F),
        constants("flat_rgb", 0, SIDE * SIDE, 3),
        helper.make_node("Reshape", ["levels", "flat_rgb"], ["rgb"]),
        helper.make_node("Transpose", ["of_pixel"], ["by_style"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["by_style", "rgb"], ["sums"]),
        constants("last", 2),
        helper.make_node("ReduceSum", ["by_style", "last"], ["counts"], keepdims=1),
        constant("one", 1),
        helper.make_node("Max", ["counts", "one"], ["some"]),
        helper.make_node("Div", ["sums", "some"], ["mean_color"]),
        helper.make_node("Sub", ["mean_color", "grey"], ["shifted"]),
        helper.make_node("Div", ["shifted", "scale"], ["STYLE_MEAN"]),
        constant("zero", 0),
        constant("log_variance", LOG_VARIANCE),
        helper.make_node("Mul", ["STYLE_MEAN", "zero"], ["nothings"]),
        helper.make_node("Add", ["nothings", "log_variance"], ["STYLE_LOG_VARIANCE"]),
    ]
    codes = ("n", STYLES, SIZE)
    return onnx_model(
        [("PICTURE", _U8, ("n", SIDE, SIDE, 3)), ("LABEL_MAP", _U8, ("n", SIDE, SIDE))],
        [("STYLE_MEAN", _F, codes), ("STYLE_LOG_VARIANCE", _F, codes)],
        nodes,
    )


def _prior() -> onnx.ModelProto:
    """SINGLE_STYLES = LATENT; JOINT_STYLES = half of it and the mean of all of it."""
    nodes = [
        constants("codes", 0, STYLES, SIZE),
        helper.make_node("Reshape", ["LATENT", "codes"], ["SINGLE_STYLES"]),
        constant("half", 0.5),
        helper.make_node("Mul", ["SINGLE_STYLES", "half"], ["halves"]),
        helper.make_node("ReduceMean", ["SINGLE_STYLES"], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Add", ["halves", "mean"], ["JOINT_STYLES"]),
    ]
    codes = ("n", STYLES, SIZE)
    return onnx_model(
        [("LATENT", _F, ("n", STYLES * SIZE))],
        [("JOINT_STYLES", _F, codes), ("SINGLE_STYLES", _F, codes)],
        nodes,
    )


def _decoder(rounds: int) -> onnx.ModelProto:
    """IMAGE = the colour of each pixel's style, after so many rounds of something else."""
    whole = helper.make_tensor("count", _I64, (), [rounds])
    nodes = [
        *_style_of_pixel(),
        helper.make_node("Cast", ["STYLE_GIVEN"], ["is_given"], to=TensorProto.BOOL),
        constants("two", 2),
        helper.make_node("Unsqueeze", ["is_given", "two"], ["is_given3"]),
        helper.make_node("Where", ["is_given3", "GIVEN_STYLES", "JOINT_STYLES"], ["styles"]),
        helper.make_node("MatMul", ["of_pixel", "styles"], ["pixels"]),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "grey"], ["levels"]),
        helper.make_node("Constant", [], ["count"], value=whole),
        *busy_nodes("count", "nothing"),
        helper.make_node("Add", ["levels", "nothing"], ["all"]),
        helper.make_node("Round", ["all"], ["rounded"]),
        constant("least", 0),
        constant("most", 255),
        helper.make_node("Clip", ["rounded", "least", "most"], ["shown"]),
        constants("square", 0, SIDE, SIDE, 3),
        helper.make_node("Reshape", ["shown", "square"], ["image"]),
        helper.make_node("Cast", ["image"], ["IMAGE"], to=_U8),
    ]
    codes = ("n", STYLES, SIZE)
    return onnx_model(
        [
            ("LABEL_MAP", _U8, ("n", SIDE, SIDE)),
            ("JOINT_STYLES", _F, codes),
            ("GIVEN_STYLES", _F, codes),
            ("STYLE_GIVEN", _U8, ("n", STYLES)),
        ],
        [("IMAGE", _U8, ("n", SIDE, SIDE, 3))],
        nodes,
    )
