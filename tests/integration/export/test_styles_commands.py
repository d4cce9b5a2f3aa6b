"""`maskweave export` with packs of GroupDNet: the same commands, the same refusals."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format
from onnx import helper
from tritonclient.grpc import model_config_pb2 as triton

import maskweave_cli
from export.images import LABEL_MAPS
from export.mixed_precision import precision_of
from export.operators import operator_findings
from export.plans.check import refusals
from export.plans.machine import Machine
from export.plans.manifest import read_manifest, sha256_of
from tests.support.tensorrt_double import TensorRTDouble, fake_nvidia_smi
from tests.support.wrong_graphs import put_nan, shift_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
GRAPHS = {f"faces64_styles_{name}" for name in ("encoder", "prior", "decoder", "label_map_fused")}
H100 = "9.0"
COMMITTED = Path(__file__).parents[3] / "model_repository"


def run(command: str, *arguments: str) -> Result:
    return CliRunner().invoke(maskweave_cli.main, ["export", command, *arguments])


def verify(repository: Path, maps: Path, *options: str) -> Result:
    arguments = ("faces64_styles", "--repository", str(repository), "--label-maps", str(maps), *options)
    return run("verify", *arguments)


def verdicts(result: Result) -> list[tuple[str, str, str]]:
    lines = [line for line in result.output.splitlines() if line.startswith("| faces64")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], row[1], row[-1]) for row in cells]


@pytest.fixture
def one_map(tmp_path: Path) -> Path:
    """A folder with one label map, where eight seeds are enough."""
    folder = tmp_path / "maps"
    folder.mkdir()
    shutil.copy(LABEL_MAPS / "heldout_fringe.png", folder)
    return folder


@pytest.mark.usefixtures("tiny_styles")
@pytest.mark.parametrize("layout", ["ensemble", "fused"])
def test_encoder_and_prior_belong_to_every_layout_they_are_asked_in(layout: str, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    result = run("repository", "faces64_styles", "--layout", layout, "--repository", str(repository))
    assert result.exit_code == 0, result.output
    graphs = {"ensemble": {"encoder", "prior", "decoder"}, "fused": {"encoder", "prior", "label_map_fused"}}
    served = {"ensemble": "label_map", "fused": "label_map_fused"}[layout]
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    assert files == {
        *(
            f"faces64_styles_{name}/{file}"
            for name in graphs[layout]
            for file in ("config.pbtxt", "1/model.onnx")
        ),
        *(f"faces64_styles_{served}/{file}" for file in ("config.pbtxt", "labels.txt")),
        *(["faces64_styles_label_map/1/.gitkeep"] if layout == "ensemble" else []),
    }


@pytest.mark.usefixtures("tiny_styles")
def test_verify_compares_both_layouts_with_and_without_given_styles(
    styles_repository: Path, one_map: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "worst.png"
    options = ("--precision", "fp32", "--precision", "fp16", "--sheet", str(sheet))
    result = verify(styles_repository, one_map, *options)
    assert result.exit_code == 0, result.output
    assert "16 images, 1 label maps by 8 seeds, against PyTorch in FP32" in result.output
    assert verdicts(result) == [
        (f"faces64_styles_{model}", precision, "passed")
        for model in ("label_map", "label_map_fused")
        for precision in ("fp32", "fp16")
    ]
    assert len(list(tmp_path.glob("worst-faces64_styles_label_map*.png"))) == 4


def test_committed_pack_passes_in_every_precision() -> None:
    precisions = ("fp32", "fp16", "bf16")
    result = verify(COMMITTED, LABEL_MAPS, *(word for one in precisions for word in ("--precision", one)))
    assert result.exit_code == 0, result.output
    assert "192 images, 8 label maps by 8 seeds" in result.output
    assert verdicts(result) == [("faces64_styles_label_map", one, "passed") for one in precisions]


def negate(output: str) -> Callable[[Path], None]:
    """Makes a graph give the opposite of one of its outputs."""

    def spoil(path: Path) -> None:
        model = onnx.load(path)
        for node in model.graph.node:
            node.output[:] = ["positive" if name == output else name for name in node.output]
        model.graph.node.append(helper.make_node("Neg", ["positive"], [output]))
        onnx.save(model, path)

    return spoil


@pytest.mark.usefixtures("tiny_styles")
@pytest.mark.parametrize(
    ("model", "spoil"),
    [
        ("encoder", negate("STYLE_MEAN")),
        ("prior", put_nan),
        ("prior", negate("SINGLE_STYLES")),
        ("decoder", shift_image),
    ],
    ids=["encoder", "prior", "single styles", "decoder"],
)
def test_each_wrong_model_fails_verification(
    model: str, spoil: Callable[[Path], None], styles_repository: Path, one_map: Path, tmp_path: Path
) -> None:
    repository = Path(shutil.copytree(styles_repository, tmp_path / "models"))
    shutil.rmtree(repository / "faces64_styles_label_map_fused")
    spoil(repository / f"faces64_styles_{model}" / "1" / "model.onnx")
    result = verify(repository, one_map)
    assert result.exit_code == 1
    assert verdicts(result) == [("faces64_styles_label_map", "fp32", "FAILED")]


@pytest.fixture(scope="module")
def for_plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("styles") / "gpu-plan"


@pytest.fixture
def plans(for_plans: Path, tiny_styles: None) -> Path:
    """A repository for plans, in both layouts, made by the command."""
    if not for_plans.exists():
        options = ("--target", "gpu-plan", "--layout", "both", "--repository", str(for_plans))
        result = run("repository", "faces64_styles", *options)
        assert result.exit_code == 0, result.output
    return for_plans


def test_gpu_graphs_are_fp16_and_what_gpu_runtimes_take(plans: Path) -> None:
    graphs = {path.parents[1].name: onnx.load(path) for path in plans.glob("*/1/model.onnx")}
    assert set(graphs) == GRAPHS
    assert {precision_of(graph) for graph in graphs.values()} == {"fp16"}
    assert [finding for graph in graphs.values() for finding in operator_findings(graph)] == []


def test_every_graph_gets_a_plan_a_manifest_and_an_entry(
    plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Path(shutil.copytree(plans, tmp_path / "plans"))
    tools = tmp_path / "tools"
    tools.mkdir()
    fake_nvidia_smi(tools, H100)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    double = TensorRTDouble()
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    result = run("engines", "--repository", str(repository))
    assert result.exit_code == 0, result.output
    for name in GRAPHS:
        version = repository / name / "1"
        config = text_format.Parse((repository / name / "config.pbtxt").read_text(), triton.ModelConfig())
        assert dict(config.cc_model_filenames) == {H100: "model.sm90.plan"}
        manifest = read_manifest(version / "model.sm90.plan.json")
        assert manifest.onnx_sha256 == sha256_of(version / "model.onnx")
        assert set(manifest.profiles) == {tensor.name for tensor in config.input}
        assert all(shapes[0][0] == 1 and shapes[-1][0] == 16 for shapes in manifest.profiles.values())
    assert refusals(repository, Machine((H100,), "10.13.3")) == []
    check = ("--repository", str(repository), "--tensorrt-version")
    assert run("check-plans", *check, "10.13.3").exit_code == 0
    put_nan(repository / "faces64_styles_encoder" / "1" / "model.onnx")
    refused = run("check-plans", *check, "10.13.3")
    assert refused.exit_code == 1
    (line,) = refused.output.splitlines()
    assert "faces64_styles_encoder/1/model.sm90.plan: model.onnx is not the graph it was built from" in line


@pytest.mark.parametrize("command", ["repository", "verify"])
def test_network_to_compare_with_is_refused_in_one_line(command: str, tmp_path: Path) -> None:
    result = run(command, "faces64_styles_ungrouped", "--repository", str(tmp_path))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: pack 'faces64_styles_ungrouped' is not served: without groups")
    assert list(tmp_path.iterdir()) == []


def test_untrained_pack_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.groupdnet.pack_folder", lambda name: tmp_path)
    result = run("repository", "faces64_styles", "--repository", str(tmp_path / "models"))
    assert result.exit_code == 1
    assert "groupdnet.safetensors is missing: train it with `maskweave train`" in result.output
    assert len(result.output.splitlines()) == 1
