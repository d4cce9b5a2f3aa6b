"""What is committed in `model_repository/` is what the pack's weights and today's exporter give."""

import subprocess
from pathlib import Path

import onnx
import pytest

from export.model_config import ensemble_config, pack_parameters, stage_config
from export.parity import parity_errors
from export.repository import LABEL_MAP_CONDITION
from export.stages import Stage, example_inputs, sis_ug_stages
from training.config import PackConfig, load_config, pack_folder
from training.pipeline import load_pipeline

ROOT = Path(__file__).parents[3]
REPOSITORY = ROOT / "model_repository"
MAX_BINARY_BYTES = 80_000_000
STAGES = ["generator_head", "mapper_label_map", "rearranger", "generator_tail"]


@pytest.fixture(scope="module")
def config() -> PackConfig:
    return load_config("faces64")


@pytest.fixture(scope="module")
def stages(config: PackConfig) -> dict[str, Stage]:
    pipeline = load_pipeline(config, pack_folder("faces64"))
    return {stage.name.removeprefix("faces64_"): stage for stage in sis_ug_stages(config, pipeline)}


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", STAGES)
def test_graph_has_the_packs_weights(
    name: str, batch: int, stages: dict[str, Stage], config: PackConfig
) -> None:
    stage = stages[name]
    path = REPOSITORY / stage.name / "1" / "model.onnx"
    errors = parity_errors(stage, path, example_inputs(stage, batch, config))
    assert errors
    assert [error for error in errors if error.excessive] == []


@pytest.mark.parametrize("name", STAGES)
def test_graph_is_readable_by_older_runtimes(name: str) -> None:
    model = onnx.load(REPOSITORY / f"faces64_{name}" / "1" / "model.onnx")
    assert model.ir_version <= 10
    assert max(entry.version for entry in model.opset_import) <= 20


def test_configs_are_what_the_exporter_writes(stages: dict[str, Stage], config: PackConfig) -> None:
    for stage in stages.values():
        assert (REPOSITORY / stage.name / "config.pbtxt").read_text() == stage_config(stage)
    name = f"faces64_{LABEL_MAP_CONDITION}"
    parameters = pack_parameters(LABEL_MAP_CONDITION, config)
    expected = ensemble_config(name, tuple(stages.values()), parameters)
    assert (REPOSITORY / name / "config.pbtxt").read_text() == expected
    assert (REPOSITORY / name / "labels.txt").read_text().split() == list(config.palette.names)


def test_binaries_of_the_whole_repository_stay_small() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [
        ROOT / name for name in listed.stdout.split("\0") if name.endswith((".onnx", ".safetensors", ".png"))
    ]
    assert sum(path.stat().st_size for path in files if path.exists()) < MAX_BINARY_BYTES
