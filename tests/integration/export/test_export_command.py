"""`maskweave export`, from the command line to the files."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import export.repository
import export.sis_ug
import maskweave_cli
from export.stages import Stage
from tests.support.wrong_graphs import transpose_output

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run_export(repository: Path, *options: str) -> Result:
    return CliRunner().invoke(
        maskweave_cli.main, ["export", "repository", "faces64", *options, "--repository", str(repository)]
    )


@pytest.mark.usefixtures("tiny_pack")
def test_command_writes_a_whole_repository_and_says_how_exact_it_is(tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    result = run_export(repository)
    assert result.exit_code == 0, result.output
    stages = [
        "faces64_generator_head",
        "faces64_generator_middle",
        "faces64_generator_tail",
        "faces64_inverter",
        "faces64_label_reader",
        "faces64_mapper_label_map",
        "faces64_proxy_segmenter",
        "faces64_rearranger",
        "faces64_scribble_completer",
        "faces64_sketch_reader",
        "faces64_target_reader",
    ]
    kinds = ("label_map", "sketch", "scribble", "proxy_mask", "exemplar", "edit", "own")
    ensembles = [f"faces64_{kind}" for kind in kinds]
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    assert files == {
        *(f"{stage}/{file}" for stage in stages for file in ("config.pbtxt", "1/model.onnx")),
        *(
            f"{ensemble}/{file}"
            for ensemble in ensembles
            for file in ("config.pbtxt", "labels.txt", "1/.gitkeep")
        ),
    }
    assert all(f"{stage}, batch {batch}:" in result.output for stage in stages for batch in (1, 5))
    assert [path.name for path in tmp_path.iterdir()] == ["model_repository"]


@pytest.mark.usefixtures("tiny_pack")
def test_wrong_graph_fails_the_command_and_leaves_the_repository_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "model_repository" / "faces64_generator_head" / "config.pbtxt"
    served.parent.mkdir(parents=True)
    served.write_text("what is served")

    right = vars(export.repository)["write_onnx"]  # what the session's fixture put there

    def wrong(stage: Stage, example: tuple[torch.Tensor, ...], path: Path) -> None:
        right(stage, example, path)
        if stage.name == "faces64_mapper_label_map":
            transpose_output(path)

    monkeypatch.setattr("export.repository.write_onnx", wrong)
    result = run_export(tmp_path / "model_repository")
    assert result.exit_code == 1
    assert "Error: faces64_mapper_label_map, batch 1: TARGET_PROXY_MASK is off by" in result.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [served]
    assert served.read_text() == "what is served"


def test_untrained_pack_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.sis_ug, "pack_folder", lambda pack: tmp_path)
    result = run_export(tmp_path / "model_repository")
    assert result.exit_code == 1
    assert "mapper_label_map.safetensors is missing: train it with `maskweave train`" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "fp16"), "precision fp16: not for cpu; allowed for cpu: fp32"),
        (
            ("--target", "gpu-onnx", "--precision", "bf16"),
            "precision bf16: not for gpu-onnx; allowed for gpu-onnx: fp16, fp32",
        ),
        (
            ("--target", "gpu-plan", "--precision", "fp8"),
            "precision fp8: not offered: ONNX Runtime's quantizer",
        ),
    ],
    ids=["cpu", "accelerator", "fp8"],
)
def test_precision_that_a_target_has_not_is_one_line(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    result = run_export(tmp_path / "model_repository", *options)
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
