"""`maskweave export`, from the command line to the files."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import export.cli
import maskweave_cli
from export.onnx_graph import write_onnx
from export.stages import Stage
from tests.support.wrong_graphs import transpose_output
from training.config import PackConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run_export(repository: Path) -> Result:
    return CliRunner().invoke(maskweave_cli.main, ["export", "faces64", "--repository", str(repository)])


@pytest.fixture
def tiny_pack(monkeypatch: pytest.MonkeyPatch, config: PackConfig, weights: Path) -> None:
    monkeypatch.setattr(export.cli, "load_config", lambda pack: config)
    monkeypatch.setattr(export.cli, "pack_folder", lambda pack: weights)


@pytest.mark.usefixtures("tiny_pack")
def test_command_writes_a_whole_repository_and_says_how_exact_it_is(tmp_path: Path) -> None:
    repository = tmp_path / "model_repository"
    result = run_export(repository)
    assert result.exit_code == 0, result.output
    stages = [
        "faces64_generator_head",
        "faces64_generator_tail",
        "faces64_mapper_label_map",
        "faces64_rearranger",
    ]
    files = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    assert files == {
        *(f"{stage}/{file}" for stage in stages for file in ("config.pbtxt", "1/model.onnx")),
        *(f"faces64_label_map/{file}" for file in ("config.pbtxt", "labels.txt", "1/.gitkeep")),
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

    def wrong(stage: Stage, example: tuple[torch.Tensor, ...], path: Path) -> None:
        write_onnx(stage, example, path)
        if stage.name == "faces64_mapper_label_map":
            transpose_output(path)

    monkeypatch.setattr("export.repository.write_onnx", wrong)
    result = run_export(tmp_path / "model_repository")
    assert result.exit_code == 1
    assert "Error: faces64_mapper_label_map, batch 1: TARGET_PROXY_MASK is off by" in result.output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [served]
    assert served.read_text() == "what is served"


def test_untrained_pack_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.cli, "pack_folder", lambda pack: tmp_path)
    result = run_export(tmp_path / "model_repository")
    assert result.exit_code == 1
    assert "proxy_segmenter.safetensors is missing: train it with `maskweave train`" in result.output
    assert len(result.output.splitlines()) == 1
