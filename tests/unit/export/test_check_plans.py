"""Plans that do not fit are refused, with the reason; with real files and a machine that is told."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.plans.check import checked, refusals
from export.plans.machine import (
    Machine,
    MachineError,
    gpu_compute_capabilities,
    library_version,
    version_text,
)
from export.plans.manifest import Manifest, ManifestError, manifest_of, plan_file, read_manifest, sha256_of
from tests.support.tensorrt_double import fake_nvidia_smi

ROOT = Path(__file__).parents[3]
HERE = Machine(("9.0",), "10.13.3")


def add_plan(version: Path, capability: str = "9.0", tensorrt_version: str = "10.13.3") -> Path:
    """A plan with its manifest, beside the graph it was built from."""
    plan = version / plan_file(capability)
    plan.write_bytes(b"plan for " + capability.encode())
    Manifest(
        onnx_sha256=sha256_of(version / "model.onnx"),
        plan_sha256=sha256_of(plan),
        tensorrt_version=tensorrt_version,
        compute_capability=capability,
        gpu="NVIDIA H100 80GB HBM3",
        precision="fp16",
        profiles={"LATENT": ((1, 100), (4, 100), (16, 100))},
        build_seconds=61.5,
        built_at="2026-11-25T12:00:00+00:00",
    ).write(manifest_of(plan))
    return plan


def write_config(folder: Path, *capabilities: str) -> None:
    entries = "".join(
        f'cc_model_filenames {{\n  key: "{one}"\n  value: "{plan_file(one)}"\n}}\n' for one in capabilities
    )
    (folder / "config.pbtxt").write_text(f'name: "{folder.name}"\n{entries}backend: "tensorrt"\n')


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two models with plans for an H100, an ensemble and an ONNX model."""
    root = tmp_path / "models"
    for name in ("head", "tail"):
        version = root / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(b"graph of " + name.encode())
        add_plan(version)
        write_config(root / name, "9.0")
    for name, line in (("whole", 'platform: "ensemble"'), ("other", 'backend: "onnxruntime"')):
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(f'name: "{name}"\n{line}\n')
    return root


def test_plans_that_fit_are_let_through(repository: Path) -> None:
    assert refusals(repository, HERE) == []


def tamper_with_graph(version: Path) -> None:
    (version / "model.onnx").write_bytes(b"graph of later weights")


def tamper_with_plan(version: Path) -> None:
    (version / "model.sm90.plan").write_bytes(b"something else")


def remove_graph(version: Path) -> None:
    (version / "model.onnx").unlink()


def remove_manifest(version: Path) -> None:
    (version / "model.sm90.plan.json").unlink()


def remove_plan(version: Path) -> None:
    (version / "model.sm90.plan").unlink()


def cut_manifest_short(version: Path) -> None:
    manifest = version / "model.sm90.plan.json"
    manifest.write_text(manifest.read_text()[:-20])


def take_plan_of_another_gpu(version: Path) -> None:
    shutil.copy(add_plan(version, "8.9"), version / "model.sm90.plan")
    shutil.copy(version / "model.sm89.plan.json", version / "model.sm90.plan.json")


def take_plan_of_another_tensorrt(version: Path) -> None:
    add_plan(version, tensorrt_version="10.9.0")


def add_default_plan(version: Path) -> None:
    shutil.copy(version / "model.sm90.plan", version / "model.plan")


def forget_gpu(version: Path) -> None:
    write_config(version.parent, "8.9", "10.0")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (tamper_with_graph, "model.sm90.plan: model.onnx is not the graph it was built from: sha256 "),
        (tamper_with_plan, "model.sm90.plan: its content is not what was built"),
        (remove_graph, "model.sm90.plan: model.onnx, which it was built from, is missing"),
        (remove_manifest, "model.sm90.plan: model.sm90.plan.json: the manifest is missing"),
        (remove_plan, "model.sm90.plan: the plan is missing"),
        (cut_manifest_short, "model.sm90.plan: model.sm90.plan.json: cannot be read as JSON: "),
        (take_plan_of_another_gpu, "built for compute capability 8.9, this GPU has 9.0"),
        (take_plan_of_another_tensorrt, "built with TensorRT 10.9.0, this machine has 10.13.3"),
        (add_default_plan, "model.plan: is loaded on any GPU and has no manifest; remove it"),
        (forget_gpu, "config.pbtxt: no plan for compute capability 9.0, there are for 10.0, 8.9"),
    ],
)
def test_plan_that_does_not_fit_is_refused(
    spoil: Callable[[Path], None], reason: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(repository / "head" / "1")
    assert checked(repository, "9.0", "10.13.3") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"refused: {repository / 'head'}")
    assert reason in line


def test_every_problem_has_its_line(repository: Path) -> None:
    tamper_with_graph(repository / "head" / "1")
    tamper_with_plan(repository / "head" / "1")
    remove_manifest(repository / "tail" / "1")
    assert [refusal.file.parents[1].name for refusal in refusals(repository, HERE)] == [
        "head",
        "head",
        "tail",
    ]


def test_mixed_fleet_checks_the_plans_each_machine_would_load(repository: Path) -> None:
    for name in ("head", "tail"):
        add_plan(repository / name / "1", "8.9")
        write_config(repository / name, "9.0", "8.9")
    (repository / "head" / "1" / "model.sm89.plan").write_bytes(b"broken")
    assert refusals(repository, HERE) == []
    assert len(refusals(repository, Machine(("8.9",), "10.13.3"))) == 1
    assert len(refusals(repository, Machine(("9.0", "8.9"), "10.13.3"))) == 1


def test_repository_without_plans_is_no_success(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("head", "tail"):
        shutil.rmtree(repository / name)
    assert checked(repository, "9.0", "10.13.3") == 1
    assert 'no model has backend: "tensorrt"; export one' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format: allowed is 1"),
        ({"onnx_sha256": "abc"}, "onnx_sha256: got 'abc', allowed is 64 hexadecimal digits"),
        ({"tensorrt_version": "10.13"}, "tensorrt_version: got '10.13', allowed is major.minor.patch"),
        ({"compute_capability": 9.0}, "compute_capability: got 9.0, allowed is major.minor"),
        ({"gpu": ""}, "gpu: got '', allowed is a name"),
        ({"build_seconds": -1}, "build_seconds: got -1, allowed are seconds of 0 or more"),
        ({"build_seconds": True}, "build_seconds: got True"),
        ({"profiles": {}}, "profiles: got {}"),
        ({"profiles": {"LATENT": [[1, 100]]}}, "profiles: got {'LATENT': [[1, 100]]}"),
        ({"profiles": [1]}, "profiles: got [1]"),
        ({"profiles": {"LATENT": [[1, "x"]] * 3}}, "profiles: got {'LATENT': [[1, 'x'], "),
        ({"extra": 1}, "extra: is unknown"),
        ({"precision": None}, "precision: got None"),
    ],
)
def test_manifest_with_a_wrong_field_is_refused(
    change: dict[str, object], said: str, repository: Path
) -> None:
    file = repository / "head" / "1" / "model.sm90.plan.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ManifestError) as caught:
        read_manifest(file)
    assert str(caught.value).startswith(said)


def test_manifest_comes_back_as_it_was_written(repository: Path) -> None:
    manifest = read_manifest(repository / "head" / "1" / "model.sm90.plan.json")
    assert manifest.profiles == {"LATENT": ((1, 100), (4, 100), (16, 100))}
    assert manifest.build_seconds == 61.5
    copy = repository / "copy.json"
    manifest.write(copy)
    assert read_manifest(copy) == manifest


def run_bare(repository: Path, *options: str, path: str = "/nowhere") -> subprocess.CompletedProcess[str]:
    """The command as a server's container runs it: no installed package in sight."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "export.plans.check", str(repository), *options],
        env={"PYTHONPATH": str(ROOT), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bare_python_checks_a_repository(repository: Path) -> None:
    options = ("--compute-capability", "9.0", "--tensorrt-version", "10.13.3")
    done = run_bare(repository, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{repository}: every plan fits (compute capability 9.0, TensorRT 10.13.3)\n"
    tamper_with_plan(repository / "tail" / "1")
    done = run_bare(repository, *options)
    assert done.returncode == 1
    assert done.stderr.count("refused: ") == 1


def test_machine_without_gpu_is_refused_in_one_line(repository: Path) -> None:
    done = run_bare(repository, "--tensorrt-version", "10.13.3")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: nvidia-smi is not installed: no NVIDIA driver, or no GPU in this container\n"
    )


def test_driver_is_asked_for_the_gpu(repository: Path, tmp_path: Path) -> None:
    fake_nvidia_smi(tmp_path, "8.9")
    path = f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    done = run_bare(repository, "--tensorrt-version", "10.13.3", path=path)
    assert done.returncode == 1
    assert done.stderr.count("no plan for compute capability 8.9, there are for 9.0") == 2


@pytest.mark.parametrize(
    ("answer", "found"), [("9.0", ("9.0",)), ("9.0\\n8.9\\n9.0", ("9.0", "8.9")), ("12.0", ("12.0",))]
)
def test_gpus_are_told_once_each(
    answer: str, found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi(tmp_path, answer)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert gpu_compute_capabilities() == found


@pytest.mark.parametrize("answer", ["", "[N/A]", "No devices were found"])
def test_driver_without_an_answer_is_an_error(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nvidia_smi(tmp_path, answer)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(MachineError, match=r"expected lines like '9\.0'"):
        gpu_compute_capabilities()


@pytest.mark.parametrize(
    ("number", "text"), [(101303, "10.13.3"), (100000, "10.0.0"), (110401, "11.4.1"), (8601, "8.6.1")]
)
def test_librarys_number_is_read_as_its_version(number: int, text: str) -> None:
    assert version_text(number) == text


def test_library_is_found_where_the_loader_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = tmp_path / "nvinfer.c"
    source.write_text("int getInferLibVersion(void) { return 101303; }\n")
    library = tmp_path / "libnvinfer.so.10.13.3"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert library_version() == "10.13.3"
    shutil.copy(library, tmp_path / "libnvinfer.so.11")
    with pytest.raises(MachineError, match="TensorRT libraries of versions 10, 11"):
        library_version()


def test_machine_without_tensorrt_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr("export.plans.machine.USUAL_FOLDERS", ())
    with pytest.raises(MachineError, match=r"TensorRT is not installed: no libnvinfer\.so"):
        library_version()
