"""What is committed in `model_repository/` is what the pack's weights and today's exporter give."""

import subprocess
from pathlib import Path

import onnx
import pytest

from export.exported import ExportedPack
from export.flops import ensemble_flops
from export.methods import load_pack
from export.model_config import ensemble_config, stage_config
from export.parity import parity_errors
from export.stages import example_inputs

ROOT = Path(__file__).parents[3]
REPOSITORY = ROOT / "model_repository"
MAX_BINARY_BYTES = 100_000_000
STAGES = {
    "faces64": (
        "generator_head",
        "mapper_label_map",
        "target_reader",
        "rearranger",
        "generator_tail",
        "sketch_reader",
        "scribble_completer",
        "proxy_segmenter",
        "inverter",
        "generator_middle",
        "label_reader",
    ),
    "faces64_styles": ("prior", "decoder", "encoder", "label_reader"),
    "avatars128_styles": ("prior", "decoder", "encoder", "label_reader"),
}
CONDITIONS = {
    "faces64": ("label_map", "sketch", "scribble", "proxy_mask", "exemplar", "edit", "own"),
    "faces64_styles": ("label_map",),
    "avatars128_styles": ("label_map",),
}
GRAPHS = [(pack, f"{pack}_{stage}") for pack, stages in STAGES.items() for stage in stages]


@pytest.fixture(scope="module")
def packs() -> dict[str, ExportedPack]:
    return {name: load_pack(name) for name in STAGES}


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(("pack", "name"), GRAPHS)
def test_graph_has_the_packs_weights(
    pack: str, name: str, batch: int, packs: dict[str, ExportedPack]
) -> None:
    (stage,) = [stage for stage in packs[pack].graphs if stage.name == name]
    errors = parity_errors(stage, REPOSITORY / name / "1" / "model.onnx", example_inputs(stage, batch))
    assert errors
    assert [error for error in errors if error.excessive] == []


@pytest.mark.parametrize("name", [name for _, name in GRAPHS])
def test_graph_is_readable_by_older_runtimes(name: str) -> None:
    model = onnx.load(REPOSITORY / name / "1" / "model.onnx")
    assert model.ir_version <= 10
    assert max(entry.version for entry in model.opset_import) <= 20


@pytest.mark.parametrize("name", STAGES)
def test_configs_are_what_the_exporter_writes(name: str, packs: dict[str, ExportedPack]) -> None:
    pack = packs[name]
    assert [stage.name for stage in pack.graphs] == [f"{name}_{stage}" for stage in STAGES[name]]
    for stage in pack.graphs:
        assert (REPOSITORY / stage.name / "config.pbtxt").read_text() == stage_config(stage)
    assert [one.name for one in pack.conditions] == [f"{name}_{kind}" for kind in CONDITIONS[name]]
    for condition in pack.conditions:
        folder = REPOSITORY / condition.name
        assert (folder / "config.pbtxt").read_text() == ensemble_config(condition)
        assert (folder / "labels.txt").read_text().split() == list(pack.palette.names)


def test_nothing_else_is_committed() -> None:
    expected = {name for _, name in GRAPHS} | {
        f"{pack}_{kind}" for pack, kinds in CONDITIONS.items() for kind in kinds
    }
    assert {path.parent.name for path in REPOSITORY.glob("*/config.pbtxt")} == expected


def test_binaries_of_the_whole_repository_stay_small() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [
        ROOT / name for name in listed.stdout.split("\0") if name.endswith((".onnx", ".safetensors", ".png"))
    ]
    assert sum(path.stat().st_size for path in files if path.exists()) < MAX_BINARY_BYTES


def test_what_an_image_computes_is_what_the_documentation_says() -> None:
    flops = ensemble_flops(REPOSITORY)
    found = {name: (each.new_image, each.repaint, each.variation) for name, each in flops.items()}
    assert found["faces64_label_map"] == pytest.approx((0.731e9, 0.474e9, 0.731e9), abs=1e6)
    assert found["faces64_exemplar"] == pytest.approx((0.973e9, 0.716e9, 0.562e9), abs=1e6)
    assert found["faces64_edit"] == pytest.approx((1.201e9, 0.474e9, 1.201e9), abs=1e6)
