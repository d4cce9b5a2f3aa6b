"""`maskweave export engines`: what is asked of TensorRT, and what lies in the repository afterwards.

TensorRT is a double here (tests/support/tensorrt_double.py): no plan is built, and none of this shows that
TensorRT would take the graphs.
"""

import os
import shutil
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

import maskweave_cli
from export.plans.check import refusals
from export.plans.machine import Machine
from export.plans.manifest import read_manifest, sha256_of
from tests.support.tensorrt_double import TensorRTDouble, fake_nvidia_smi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STAGES = 18
H100, L4 = "9.0", "8.9"


def run(command: str, repository: Path, *options: str) -> Result:
    arguments = ["export", command, "--repository", str(repository), *options]
    return CliRunner().invoke(maskweave_cli.main, arguments)


@pytest.fixture
def plans(of_target: dict[str, Path], tmp_path: Path) -> Path:
    """A repository for plans, of which none is built."""
    return Path(shutil.copytree(of_target["gpu-plan"], tmp_path / "plans"))


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> TensorRTDouble:
    double = TensorRTDouble()
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    return double


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH whose nvidia-smi shows an H100."""
    folder = tmp_path / "tools"
    folder.mkdir()
    fake_nvidia_smi(folder, H100)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def config_of(folder: Path) -> triton.ModelConfig:
    parsed: triton.ModelConfig = text_format.Parse(
        (folder / "config.pbtxt").read_text(), triton.ModelConfig()
    )
    return parsed


def stage_folders(repository: Path) -> list[Path]:
    return sorted(path.parents[1] for path in repository.glob("*/1/model.onnx"))


@pytest.mark.usefixtures("tools")
def test_every_stage_gets_a_plan_a_manifest_and_an_entry(plans: Path, trt: TensorRTDouble) -> None:
    result = run("engines", plans)
    assert result.exit_code == 0, result.output
    folders = stage_folders(plans)
    assert len(folders) == STAGES
    for folder in folders:
        assert dict(config_of(folder).cc_model_filenames) == {H100: "model.sm90.plan"}
        manifest = read_manifest(folder / "1" / "model.sm90.plan.json")
        assert manifest.onnx_sha256 == sha256_of(folder / "1" / "model.onnx")
        assert manifest.plan_sha256 == sha256_of(folder / "1" / "model.sm90.plan")
        assert (manifest.tensorrt_version, manifest.compute_capability) == ("10.13.3", H100)
        assert (manifest.precision, manifest.gpu) == ("fp16", "NVIDIA H100 80GB HBM3")
    assert refusals(plans, Machine((H100,), "10.13.3")) == []
    assert run("check-plans", plans, "--tensorrt-version", "10.13.3").exit_code == 0
    assert run("check-plans", plans, "--tensorrt-version", "10.14.0").exit_code == 1


@pytest.mark.usefixtures("tools")
def test_network_is_strongly_typed_with_one_profile_over_every_input(
    plans: Path, trt: TensorRTDouble
) -> None:
    assert run("engines", plans).exit_code == 0
    assert trt.arguments("create_network") == [1 << 1] * STAGES
    assert trt.arguments("set_memory_pool_limit") == [("workspace", 1 << 30)] * STAGES
    assert trt.arguments("clear_flag") == ["tf32"] * STAGES
    assert trt.arguments("builder_optimization_level") == [3] * STAGES
    profiles = trt.arguments("add_optimization_profile")
    for folder, profile in zip(stage_folders(plans), profiles, strict=True):
        graph = onnx.load(folder / "1" / "model.onnx").graph
        assert set(profile) == {value.name for value in graph.input}
        assert read_manifest(folder / "1" / "model.sm90.plan.json").profiles == profile
    of_label_maps = [profile["LABEL_MAP"] for profile in profiles if {"LABEL_MAP", "LATENT"} <= set(profile)]
    assert of_label_maps == [((1, 64, 64), (4, 64, 64), (16, 64, 64))]


@pytest.mark.usefixtures("tools")
def test_newer_tensorrt_has_no_flag_for_strong_typing(plans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = TensorRTDouble("11.4.0.106", strongly_typed_flag=False)
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    assert run("engines", plans).exit_code == 0
    assert double.arguments("create_network") == [0] * STAGES
    assert read_manifest(next(plans.glob("*/1/*.plan.json"))).tensorrt_version == "11.4.0"


@pytest.mark.usefixtures("tools", "trt")
def test_progress_is_shown(plans: Path) -> None:
    output = run("engines", plans).output
    assert f"faces64_edit_fused (1 of {STAGES}), compute capability 9.0, TensorRT 10.13.3" in output
    assert output.count("  Building Engine\n") == STAGES
    assert "  model.sm90.plan: 0.0 MB in 0 s" in output
    assert f"{plans}: {STAGES} plans" in output


@pytest.mark.usefixtures("tools")
def test_timing_cache_is_carried_on_and_left_out_of_the_repository(plans: Path, trt: TensorRTDouble) -> None:
    assert run("engines", plans).exit_code == 0
    assert trt.timing_caches == [b"+" * built for built in range(STAGES)]
    (cache,) = plans.parent.glob("*.timing")
    assert cache.name == ".plans-sm90-tensorrt10.13.3.timing"
    cache.write_bytes(b"of another GPU")
    trt.timing_caches.clear()
    assert run("engines", plans).exit_code == 0
    assert trt.timing_caches[:3] == [b"of another GPU", b"", b"+"]


@pytest.mark.usefixtures("trt")
def test_second_kind_of_gpu_adds_its_plans(plans: Path, tools: Path) -> None:
    assert run("engines", plans).exit_code == 0
    fake_nvidia_smi(tools, L4, "NVIDIA L4")
    assert run("engines", plans).exit_code == 0
    for folder in stage_folders(plans):
        assert dict(config_of(folder).cc_model_filenames) == {H100: "model.sm90.plan", L4: "model.sm89.plan"}
    assert refusals(plans, Machine((H100, L4), "10.13.3")) == []
    assert refusals(plans, Machine(("10.0",), "10.13.3")) != []


@pytest.mark.usefixtures("tools", "trt")
def test_plans_of_an_older_export_are_refused(plans: Path) -> None:
    assert run("engines", plans).exit_code == 0
    graph = plans / "faces64_rearranger" / "1" / "model.onnx"
    model = onnx.load(graph)
    model.graph.name = "trained once more"
    onnx.save(model, graph)
    result = run("check-plans", plans, "--tensorrt-version", "10.13.3")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "faces64_rearranger/1/model.sm90.plan: model.onnx is not the graph it was built from" in line


@pytest.mark.usefixtures("tools")
def test_refused_graph_fails_with_the_parsers_words(plans: Path, trt: TensorRTDouble) -> None:
    trt.refused = "In node 3:\n  unsupported operator"
    result = run("engines", plans)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].endswith(
        "TensorRT's parser refuses the graph: In node 3: unsupported operator"
    )
    assert not list(plans.glob("*/1/*.plan*"))


@pytest.mark.usefixtures("tools")
def test_failed_build_leaves_no_manifest_behind(plans: Path, trt: TensorRTDouble) -> None:
    trt.builds = 1
    result = run("engines", plans)
    assert result.exit_code == 1
    assert "TensorRT built nothing; its log above says why" in result.output
    assert len(list(plans.glob("*/1/*.plan.json"))) == 1
    assert run("check-plans", plans, "--tensorrt-version", "10.13.3").exit_code == 1


@pytest.mark.usefixtures("tools")
def test_machine_without_tensorrt_is_told_what_to_install_and_where(
    plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    result = run("engines", plans)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(
        "Error: TensorRT is not installed. Plans are built on the machine that will serve them"
    )
    assert "pip install 'maskweave[export,tensorrt]' 'tensorrt==VERSION.*'" in line


@pytest.mark.usefixtures("trt")
def test_machine_without_gpu_is_told_so(plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("engines", plans)
    assert result.exit_code == 1
    assert (
        result.output == "Error: nvidia-smi is not installed: no NVIDIA driver, or no GPU in this container\n"
    )


@pytest.mark.usefixtures("trt")
def test_machine_with_several_kinds_of_gpu_is_refused(plans: Path, tools: Path) -> None:
    fake_nvidia_smi(tools, "9.0\\n8.9")
    result = run("engines", plans)
    assert result.exit_code == 1
    assert "this machine has GPUs of compute capability 9.0, 8.9: build where only one kind can be seen" in (
        result.output
    )


@pytest.mark.usefixtures("tools", "trt")
def test_repository_of_another_target_is_told_so(of_target: dict[str, Path]) -> None:
    result = run("engines", of_target["gpu-onnx"])
    assert result.exit_code == 1
    assert "no model has backend 'tensorrt'; export one: maskweave export repository --target gpu-plan" in (
        result.output
    )
