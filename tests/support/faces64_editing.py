"""What edits images of the small `faces64`: it shows what it was given.

Red is the image's, green 30 times the class, blue 200 times the style strength.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from tests.support.faces64_config import START, tensors
from tests.support.model_repository import RepositoryWriter, constant, constants, onnx_model

_F = TensorProto.FLOAT
_U8 = TensorProto.UINT8


def write_editor(writer: RepositoryWriter, pack: str = "faces64", name: str = "faces64_edit") -> None:
    """Write the model `name`, which edits the images of `pack`."""
    writer.model(
        name,
        {1: _editor()},
        START
        + tensors("input", "PICTURE", "LABEL_MAP", "STYLE_STRENGTH")
        + tensors("output", "IMAGE")
        + f'parameters {{ key: "maskweave.edits" value {{ string_value: "{pack}" }} }}\n',
    )


def _editor() -> onnx.ModelProto:
    nodes = [
        constants("first", 0),
        constants("second", 1),
        constants("last", 3),
        helper.make_node("Slice", ["PICTURE", "first", "second", "last"], ["red8"]),
        helper.make_node("Cast", ["red8"], ["red"], to=_F),
        helper.make_node("Cast", ["LABEL_MAP"], ["classes"], to=_F),
        constant("thirty", 30),
        helper.make_node("Mul", ["classes", "thirty"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "last"], ["green"]),
        constant("most", 200),
        helper.make_node("Mul", ["STYLE_STRENGTH", "most"], ["strong"]),
        constants("where", 2, 3),
        helper.make_node("Unsqueeze", ["strong", "where"], ["one"]),
        constant("zero", 0),
        helper.make_node("Mul", ["green", "zero"], ["black"]),
        helper.make_node("Add", ["black", "one"], ["blue"]),
        helper.make_node("Concat", ["red", "green", "blue"], ["colors"], axis=3),
        helper.make_node("Cast", ["colors"], ["IMAGE"], to=_U8),
    ]
    return onnx_model(
        [
            ("PICTURE", _U8, ("n", 64, 64, 3)),
            ("LABEL_MAP", _U8, ("n", 64, 64)),
            ("STYLE_STRENGTH", _F, ("n", 1)),
        ],
        [("IMAGE", _U8, ("n", 64, 64, 3))],
        nodes,
    )
