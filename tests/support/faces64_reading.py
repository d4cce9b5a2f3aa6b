"""What reads label maps in the small `faces64`: the class is the red divided by 32.

The generator's own image of a latent is red, by the latent's mean, and as green as it is far to the right.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.support.faces64_config import START, step, tensors
from tests.support.model_repository import RepositoryWriter, constant, constants, onnx_model, step_text
from tests.support.small_pack import LATENT_SIZE

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8
_SIDE = 64


def read_by_hand(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The label map that is read off an image uint8 `[height, width, 3]`."""
    return image[..., 0] // 32


def write_readers(writer: RepositoryWriter, pack: str = "faces64") -> None:
    """Write the label reader of a pack, and the ensemble that reads the generator's own images."""
    reads = f'parameters {{ key: "maskweave.reads_labels" value {{ string_value: "{pack}" }} }}\n'
    write_label_reader(writer, reads)
    generator = "faces64_generator"
    writer.model(
        generator, {1: _generator()}, START + tensors("input", "LATENT") + tensors("output", "IMAGE")
    )
    steps = step(generator, ("LATENT",), ("IMAGE",))
    steps += step_text("faces64_label_reader", {"PICTURE": "IMAGE"}, {"LABEL_MAP": "LABEL_MAP"})
    writer.ensemble(
        "faces64_own",
        'platform: "ensemble"\nmax_batch_size: 16\n'
        + tensors("input", "LATENT")
        + tensors("output", "IMAGE", "LABEL_MAP")
        + f"ensemble_scheduling {{\n{steps}}}\n"
        + reads,
    )


def write_label_reader(writer: RepositoryWriter, extra: str, name: str = "faces64_label_reader") -> None:
    """Write what reads label maps off images alone; `extra` says of which pack."""
    config = START + tensors("input", "PICTURE") + tensors("output", "LABEL_MAP")
    writer.model(name, {1: _reader()}, config + extra)


def _reader() -> onnx.ModelProto:
    nodes = [
        constants("first", 0),
        constants("second", 1),
        constants("last", 3),
        helper.make_node("Slice", ["PICTURE", "first", "second", "last"], ["red3"]),
        helper.make_node("Squeeze", ["red3", "last"], ["red8"]),
        helper.make_node("Cast", ["red8"], ["red"], to=_F),
        constant("thirty_two", 32),
        helper.make_node("Div", ["red", "thirty_two"], ["divided"]),
        helper.make_node("Floor", ["divided"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["LABEL_MAP"], to=_U8),
    ]
    return onnx_model(
        [("PICTURE", _U8, ("n", _SIDE, _SIDE, 3))], [("LABEL_MAP", _U8, ("n", _SIDE, _SIDE))], nodes
    )


def _generator() -> onnx.ModelProto:
    ramp = np.zeros((1, _SIDE, _SIDE, 3), np.float32)
    ramp[..., 1] = 2 * np.arange(_SIDE)
    only_red = np.zeros((1, 1, 1, 3), np.float32)
    only_red[..., 0] = 200
    ramp[..., 0] = 128
    nodes = [
        helper.make_node("ReduceMean", ["LATENT"], ["mean"], axes=[1], keepdims=1),
        constants("spatial", 2, 3),
        helper.make_node("Unsqueeze", ["mean", "spatial"], ["mean4"]),
        helper.make_node("Constant", [], ["gain"], value=onnx.numpy_helper.from_array(only_red)),
        helper.make_node("Constant", [], ["ramp"], value=onnx.numpy_helper.from_array(ramp)),
        helper.make_node("Mul", ["mean4", "gain"], ["gained"]),
        helper.make_node("Add", ["gained", "ramp"], ["sum"]),
        constant("least", 0),
        constant("most", 255),
        helper.make_node("Clip", ["sum", "least", "most"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["IMAGE"], to=_U8),
    ]
    return onnx_model([("LATENT", _F, ("n", LATENT_SIZE))], [("IMAGE", _U8, ("n", _SIDE, _SIDE, 3))], nodes)
