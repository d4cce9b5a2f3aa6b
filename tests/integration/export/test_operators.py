"""Every graph we export uses only what ONNX Runtime's CUDA provider and TensorRT's parser both support."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.mixed_precision import in_precision
from export.operators import LIST, operator_findings
from export.uint8_edges import with_uint8_at_edges

COMMITTED = sorted(Path(__file__).parents[3].glob("model_repository/*/1/*.onnx"))
GPU_FORMS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": with_uint8_at_edges,
    "fp16": lambda graph: in_precision(with_uint8_at_edges(graph), "fp16"),
    "bf16": lambda graph: in_precision(with_uint8_at_edges(graph), "bf16"),
}


def small(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    """A graph from IN `[batch, 3, 8, 8]` to OUT of the same shape, through `nodes`."""
    shape = ("batch", 3, 8, 8)
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("IN", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("OUT", TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def relu() -> onnx.ModelProto:
    return small(helper.make_node("Relu", ["IN"], ["OUT"], name="relu"))


def test_whole_pack_is_looked_at() -> None:
    names = {path.parents[1].name.removeprefix("faces64_") for path in COMMITTED}
    of_styles = {
        f"{pack}_{stage}"
        for pack in ("styles", "avatars128_styles")
        for stage in ("encoder", "prior", "decoder", "label_reader")
    }
    of_conditions = {"mapper_label_map", "sketch_reader", "scribble_completer", "proxy_segmenter", "inverter"}
    assert names == {
        "generator_head",
        "generator_middle",
        "label_reader",
        "target_reader",
        "rearranger",
        "generator_tail",
        *of_conditions,
        *of_styles,
    }


@pytest.mark.parametrize("form", GPU_FORMS)
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parents[1].name)
def test_committed_graph_is_taken_by_gpu_runtimes(path: Path, form: str) -> None:
    graph = GPU_FORMS[form](onnx.load(path))
    assert operator_findings(graph, only_tensorrt=form == "bf16") == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", GPU_FORMS)
def test_fused_graph_is_taken_by_gpu_runtimes(form: str, repository: Path) -> None:
    graph = GPU_FORMS[form](onnx.load(repository / "faces64_label_map_fused" / "1" / "model.onnx"))
    assert operator_findings(graph, only_tensorrt=form == "bf16") == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parents[1].name)
def test_weights_of_committed_graphs_are_in_the_file(path: Path) -> None:
    graph = onnx.load(path, load_external_data=False)
    assert all(weight.data_location != TensorProto.EXTERNAL for weight in graph.graph.initializer)
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


def test_graph_without_fault_has_no_finding() -> None:
    assert operator_findings(relu()) == []


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


def set_ir_version(model: onnx.ModelProto) -> None:
    model.ir_version = 11


def fix_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def free_width(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[3].dim_param = "width"


def put_weight_elsewhere(model: onnx.ModelProto) -> None:
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "weight")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    model.graph.initializer.append(weight)


def import_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (set_opset, "opset 21, allowed are up to 20"),
        (set_ir_version, "IR version 11, allowed are up to 10"),
        (fix_batch, "IN: the batch is fixed at 4"),
        (free_width, "OUT: a dimension after the batch is not fixed"),
        (put_weight_elsewhere, "weight weight lies in another file"),
        (import_domain, "the model imports operators of domain 'com.microsoft'"),
    ],
)
def test_fault_of_the_file_is_found(spoil: Callable[[onnx.ModelProto], None], finding: str) -> None:
    model = relu()
    spoil(model)
    assert finding in operator_findings(model)


RESIZE_SCALES = numpy_helper.from_array(np.array([1, 1, 1, 1], np.float32), "scales")
AXES = numpy_helper.from_array(np.array([0], np.int64), "axes")


@pytest.mark.parametrize(
    ("model", "finding"),
    [
        (small(helper.make_node("Selu", ["IN"], ["OUT"], name="n")), "Selu (n) is not in operators.toml"),
        (
            small(helper.make_node("Gelu", ["IN"], ["OUT"], name="n", domain="com.microsoft")),
            "Gelu (n) is not in operators.toml",
        ),
        (
            small(
                helper.make_node("Cast", ["IN"], ["bytes"], name="down", to=TensorProto.UINT8),
                helper.make_node("Cast", ["bytes"], ["OUT"], name="up", to=TensorProto.FLOAT),
            ),
            "Cast (down): bytes is uint8 inside the graph; TensorRT has it at the edges only",
        ),
        (
            small(
                helper.make_node("Cast", ["IN"], ["whole"], name="down", to=TensorProto.INT64),
                helper.make_node("Cast", ["whole"], ["bytes"], name="n", to=TensorProto.UINT8),
                helper.make_node("Cast", ["bytes"], ["OUT"], name="up", to=TensorProto.FLOAT),
            ),
            "Cast (n): TensorRT casts uint8 from and to floating point only",
        ),
        (
            small(
                helper.make_node("Cast", ["IN"], ["double"], name="down", to=TensorProto.DOUBLE),
                helper.make_node("Relu", ["double"], ["positive"], name="n"),
                helper.make_node("Cast", ["positive"], ["OUT"], name="up", to=TensorProto.FLOAT),
            ),
            "Relu (n): tensorrt has it not for double, TensorProto.DOUBLE",
        ),
        (
            small(
                helper.make_node("Resize", ["IN", "", "scales"], ["OUT"], name="n", mode="cubic"),
                weights=(RESIZE_SCALES,),
            ),
            "Resize (n): mode is 'cubic', allowed are ['nearest', 'linear']",
        ),
        (
            small(
                helper.make_node("Identity", ["axes"], ["computed"], name="i"),
                helper.make_node("Unsqueeze", ["IN", "computed"], ["five"], name="n"),
                helper.make_node("Squeeze", ["five", "axes"], ["OUT"], name="s"),
                weights=(AXES,),
            ),
            "Unsqueeze (n): input 1 must be a constant",
        ),
    ],
    ids=["unlisted", "domain", "uint8 inside", "uint8 of integers", "double", "cubic", "computed axes"],
)
def test_node_that_a_gpu_runtime_would_not_take_is_found(model: onnx.ModelProto, finding: str) -> None:
    assert finding in operator_findings(model)


def test_operator_version_without_cuda_kernel_is_found_and_no_matter_to_tensorrt() -> None:
    model = small(
        helper.make_node("Resize", ["IN", "", "scales"], ["OUT"], name="n", mode="nearest"),
        weights=(RESIZE_SCALES,),
    )
    model.opset_import[0].version = 19
    assert operator_findings(model) == ["Resize (n): no CUDA kernel of version 19, opset 19"]
    assert operator_findings(model, only_tensorrt=True) == []


def test_list_is_sourced_and_of_operators_that_exist() -> None:
    text = LIST.read_text()
    for source in ("docs/OperatorKernels.md", "docs/operators.md", "github.com/", "2026-"):
        assert source in text.partition("[operators]")[0]
    for name, row in tomllib.loads(text)["operators"].items():
        versions = {onnx.defs.get_schema(name, opset).since_version for opset in range(18, 21)}
        assert set(row["since"]) <= versions, name
        assert row["cuda"], name
        assert row["tensorrt"], name
