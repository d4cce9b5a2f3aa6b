"""Operations are counted off graphs, each sum here done by hand."""

from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

import maskweave_cli
from export.flops import ensemble_flops, graph_flops

F = TensorProto.FLOAT


def graph(nodes: list[onnx.NodeProto], given: list[int], weights: dict[str, list[int]], path: Path) -> Path:
    """A graph from X `[batch, *given]` to Y with weights of those shapes."""
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("X", F, ["batch", *given])],
            [helper.make_empty_tensor_value_info("Y")],
            [
                helper.make_tensor(name, F, shape, bytes(4 * _size(shape)), raw=True)
                for name, shape in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.graph.output[0].type.tensor_type.elem_type = F
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def _size(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


CONV = [helper.make_node("Conv", ["X", "W"], ["Y"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])]
GROUPED = [helper.make_node("Conv", ["X", "W"], ["Y"], kernel_shape=[3, 3], pads=[1] * 4, group=4)]
UP = [helper.make_node("ConvTranspose", ["X", "W"], ["Y"], kernel_shape=[4, 4], pads=[1] * 4, strides=[2, 2])]
GEMM = [helper.make_node("Gemm", ["X", "W"], ["Y"], transB=1)]
PRODUCT = [helper.make_node("MatMul", ["X", "W"], ["Y"])]
TWO = [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("MatMul", ["H", "V"], ["Y"])]


@pytest.mark.parametrize(
    ("nodes", "given", "weights", "products"),
    [
        (CONV, [4, 8, 8], {"W": [6, 4, 3, 3]}, 6 * 4 * 4 * 4 * 9),
        (GROUPED, [4, 8, 8], {"W": [4, 1, 3, 3]}, 4 * 8 * 8 * 9),
        (UP, [4, 8, 8], {"W": [4, 6, 4, 4]}, 4 * 8 * 8 * 6 * 16),
        (GEMM, [10], {"W": [7, 10]}, 70),
        (PRODUCT, [5, 10], {"W": [10, 3]}, 150),
        (TWO, [5, 10], {"W": [10, 3], "V": [3, 2]}, 180),
    ],
)
def test_counts(
    nodes: list[onnx.NodeProto],
    given: list[int],
    weights: dict[str, list[int]],
    products: int,
    tmp_path: Path,
) -> None:
    assert graph_flops(graph(nodes, given, weights, tmp_path / "model.onnx")) == 2 * products


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An ensemble of a, of the latent alone, b, of the label map alone, c, of both, and d, of a's answer.

    Answers of all but d are remembered.
    """
    reads = {"a": ("LATENT",), "b": ("LABEL_MAP",), "c": ("LATENT", "LABEL_MAP"), "d": ("A",)}
    for name, width in (("a", 7), ("b", 5), ("c", 3), ("d", 2)):
        graph(GEMM, [10], {"W": [width, 10]}, tmp_path / name / "1" / "model.onnx")
        graph(GEMM, [10], {"W": [2 * width, 10]}, tmp_path / name / "10" / "model.onnx")  # the newest counts
        remembered = "" if name == "d" else "response_cache { enable: true }\n"
        (tmp_path / name / "config.pbtxt").write_text(f'default_model_filename: "model.onnx"\n{remembered}')
    (tmp_path / "all").mkdir()
    steps = "".join(
        f'step {{ model_name: "{name}" model_version: -1\n'
        + "".join(f'input_map {{ key: "{tensor}" value: "{tensor}" }}\n' for tensor in tensors)
        + f'output_map {{ key: "Y" value: "{name.upper()}" }} }}\n'
        for name, tensors in reads.items()
    )
    (tmp_path / "all" / "config.pbtxt").write_text(
        f'input {{ name: "LATENT" }} input {{ name: "LABEL_MAP" }}\nensemble_scheduling {{\n{steps}}}\n'
    )
    return tmp_path


def test_what_is_remembered_of_a_source_or_a_condition_is_left_out(repository: Path) -> None:
    (flops,) = ensemble_flops(repository).values()
    assert flops.new_image == 2 * 10 * (14 + 10 + 6 + 4)
    assert flops.repaint == 2 * 10 * (10 + 6 + 4)
    assert flops.variation == 2 * 10 * (14 + 6 + 4)


def test_command(repository: Path) -> None:
    command = ["export", "flops", "--repository", str(repository)]
    found = CliRunner().invoke(maskweave_cli.main, command)
    assert found.exit_code == 0, found.output
    assert [line.split()[0] for line in found.output.splitlines()[1:]] == ["all", "a", "b", "c", "d"]
    assert found.output.splitlines()[2].split() == ["a", "0.000", "-", "0.000"]
    (repository / "b" / "config.pbtxt").unlink()
    found = CliRunner().invoke(maskweave_cli.main, command)
    assert found.exit_code == 1
    assert "there is no stage 'b'" in found.output
