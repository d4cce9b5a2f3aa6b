"""Keeps weights that half precision holds exactly in half the space; nothing computed changes.

Packs store weights in half precision, so that a graph of them in single precision is half air. Behind each
weight stands a cast, which runtimes do once, when they load the graph.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST_NUMBERS = 1024
"""Smaller tensors are not worth a node."""
SUFFIX = "_halved"


def with_halved_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph whose large weights are in half precision, as far as they are exact there."""
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for weight in halved.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        numbers = numpy_helper.to_array(weight)
        half = numbers.astype(np.float16)
        if numbers.size < LEAST_NUMBERS or not np.array_equal(half.astype(np.float32), numbers):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], to=TensorProto.FLOAT))
    nodes = list(halved.graph.node)
    del halved.graph.node[:]
    halved.graph.node.extend([*casts, *nodes])
    kept = [value for value in halved.graph.value_info if value.name not in _names(casts)]
    del halved.graph.value_info[:]
    halved.graph.value_info.extend(kept)
    onnx.checker.check_model(halved, full_check=True)
    return halved


def with_whole_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph as it was before `with_halved_weights`; any other graph as it is."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    weights = {weight.name: weight for weight in whole.graph.initializer if weight.name.endswith(SUFFIX)}
    casts = [node for node in whole.graph.node if node.input and node.input[0] in weights]
    for cast in casts:
        weight = weights[cast.input[0]]
        numbers = numpy_helper.to_array(weight).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(numbers, cast.output[0]))
    kept = [node for node in whole.graph.node if not (node.input and node.input[0] in weights)]
    del whole.graph.node[:]
    whole.graph.node.extend(kept)
    return whole


def _names(casts: list[onnx.NodeProto]) -> set[str]:
    return {cast.output[0] for cast in casts}
