"""Graphs in less than FP32: what stays in FP32, what the edges look like, what comes out."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor

from export.emulation import emulated
from export.mixed_precision import KEPT_FP32, LOW_TYPES, in_precision, precision_of
from export.onnx_graph import write_onnx
from export.sis_ug_parts import Parts
from export.sis_ug_stages import GeneratorHead
from export.stages import Stage, example_inputs
from export.uint8_edges import with_uint8_at_edges
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import SynthesisPipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
GRAPHS = [
    "generator_head",
    "mapper_label_map",
    "target_reader",
    "rearranger",
    "generator_tail",
    "label_map_fused",
]
Outputs = list[NDArray[np.generic]]


def graph_of(repository: Path, name: str) -> onnx.ModelProto:
    return onnx.load(repository / f"faces64_{name}" / "1" / "model.onnx")


def feed_of(stage: Stage) -> dict[str, NDArray[np.generic]]:
    inputs = example_inputs(stage, 3)
    return {spec.name: tensor.numpy() for spec, tensor in zip(stage.inputs, inputs, strict=True)}


def run(graph: onnx.ModelProto, feed: dict[str, NDArray[np.generic]]) -> Outputs:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: Outputs = session.run(None, feed)
    return outputs


def types_of(graph: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


@pytest.mark.parametrize("name", GRAPHS)
def test_moving_uint8_to_the_edges_changes_no_output(
    name: str, repository: Path, stages: dict[str, Stage]
) -> None:
    graph, feed = graph_of(repository, name), feed_of(stages[name])
    for before, after in zip(run(graph, feed), run(with_uint8_at_edges(graph), feed), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", GRAPHS)
def test_norms_softmax_and_decisions_stay_in_fp32_and_layers_do_not(
    name: str, precision: str, repository: Path
) -> None:
    original = with_uint8_at_edges(graph_of(repository, name))
    graph = in_precision(original, precision)
    types = types_of(graph)
    assert precision_of(graph) == precision
    for side in ("input", "output"):
        assert list(getattr(graph.graph, side)) == list(getattr(original.graph, side))
    for node in graph.graph.node:
        if node.op_type in KEPT_FP32:
            assert types[node.input[0]] == TensorProto.FLOAT, node.name
        if node.op_type in {"ConvTranspose", "LeakyRelu", "Relu", "MatMul", "Gemm", "Concat"}:
            read = {types[tensor] for tensor in node.input} - {TensorProto.INT64}
            assert read <= {LOW_TYPES[precision]}, node.name
    heavy = [node for node in graph.graph.node if node.op_type == "Conv"]
    low = [node for node in heavy if types[node.input[1]] == LOW_TYPES[precision]]
    assert len(heavy) - len(low) == {"generator_head": 1, "mapper_label_map": 1, "label_map_fused": 2}.get(
        name, 0
    )


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_no_cast_goes_down_and_up_again_inside_a_norm(precision: str, repository: Path) -> None:
    graph = in_precision(with_uint8_at_edges(graph_of(repository, "generator_head")), precision)
    made_by = {name: node for node in graph.graph.node for name in node.output}
    norms = [node for node in graph.graph.node if node.op_type == "Sqrt"]
    assert norms
    for node in norms:
        chain = [node]
        while chain[-1].op_type != "Pow":
            chain.append(made_by[chain[-1].input[0]])
        assert [one.op_type for one in chain] == ["Sqrt", "Add", "ReduceMean", "Pow"]


class KeysOfFeatures(torch.nn.Module):
    """The part of head and inverter that norms features, by itself."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.head = parts.head.module

    def forward(self, coarse: Tensor, fine: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        assert isinstance(self.head, GeneratorHead)
        return self.head.keys({8: coarse, 16: fine}, mask)


def test_features_whose_squares_leave_fp16_survive(
    config: PackConfig, pipeline: SynthesisPipeline, tmp_path: Path
) -> None:
    parts = Parts(config, pipeline)
    mask = parts.inverter.inputs[1]
    stage = Stage("keys", KeysOfFeatures(parts), (*parts.head.outputs[:2], mask), parts.head.outputs[2:4])
    write_onnx(stage, example_inputs(stage, 2), tmp_path / "model.onnx")
    graph, feed = with_uint8_at_edges(onnx.load(tmp_path / "model.onnx")), feed_of(stage)
    for name in ("FEATURES_8X8", "FEATURES_16X16"):
        feed[name] = (feed[name] * 600).astype(np.float32)
        assert float(np.square(feed[name]).max()) > float(np.finfo(np.float16).max)
    found = run(emulated(in_precision(graph, "fp16")), feed)
    for expected, keys in zip(run(graph, feed), found, strict=True):
        assert np.isfinite(keys.astype(np.float64)).all()
        spread = float(np.ptp(expected.astype(np.float64)))
        assert float(np.abs(expected.astype(np.float64) - keys.astype(np.float64)).max()) < 0.01 * spread


@pytest.mark.parametrize("name", GRAPHS)
def test_onnx_runtime_runs_fp16_graphs_as_they_are(
    name: str, repository: Path, stages: dict[str, Stage]
) -> None:
    graph = with_uint8_at_edges(graph_of(repository, name))
    feed = feed_of(stages[name])
    for before, after in zip(run(graph, feed), run(in_precision(graph, "fp16"), feed), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)


@pytest.mark.parametrize(("precision", "bits"), [("fp16", 10), ("bf16", 7)])
def test_emulation_rounds_to_the_precisions_mantissa(
    precision: str, bits: int, repository: Path, stages: dict[str, Stage]
) -> None:
    graph = with_uint8_at_edges(graph_of(repository, "rearranger"))
    feed = feed_of(stages["rearranger"])
    (exact,), (rounded,) = run(graph, feed), run(emulated(in_precision(graph, precision)), feed)
    mantissas, _ = np.frexp(rounded.astype(np.float64))
    steps = mantissas * 2 ** (bits + 1)
    np.testing.assert_array_equal(steps, np.round(steps))
    error = float(np.abs(exact.astype(np.float64) - rounded.astype(np.float64)).max())
    assert 0 < error < 2.0**-bits * 8 * float(np.abs(exact.astype(np.float64)).max())


def test_weight_that_does_not_fit_is_named(repository: Path) -> None:
    graph = graph_of(repository, "generator_tail")
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight = numpy_helper.to_array(largest).copy()
    weight.flat[0] = 1e5
    largest.CopyFrom(numpy_helper.from_array(weight, largest.name))
    with pytest.raises(ValueError, match=f"weight {largest.name}: holds a number that .*FLOAT16 cannot"):
        in_precision(graph, "fp16")
    assert precision_of(in_precision(graph, "bf16")) == "bf16"


def test_unknown_precision_is_named(repository: Path) -> None:
    with pytest.raises(ValueError, match="precision: got 'fp4', allowed are 'fp32', 'fp16', 'bf16'"):
        in_precision(graph_of(repository, "generator_tail"), "fp4")
