"""A pack that is trained on a folder of images, from the configuration to images of the service."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import maskweave_cli
from maskweave_client import Client, Seed, Style
from tests.support.gateway_process import gateway_process
from tests.support.shapes import BALL, BOX, GROUND, SIDE, config_text, draw_shapes, write_shapes
from tests.support.tiny_pack import checkpoint_step
from training.data.folders import place_of
from training.groupdnet import stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "shapes"
COUNT = 40
HELDOUT = sum(place_of(f"shapes_{seed}") < 0.3 for seed in range(COUNT))


def maskweave(*arguments: str) -> Result:
    return CliRunner().invoke(maskweave_cli.main, arguments)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with images, and a pack `shapes` that every command knows."""
    folder = tmp_path_factory.mktemp("own")
    write_shapes(folder / "images", folder / "maps", COUNT)
    pack = folder / "packs" / PACK
    pack.mkdir(parents=True)
    (pack / "config.toml").write_text(config_text(Path("images"), Path("maps")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(stage, "RECALIBRATION_IMAGES", 96)
        yield folder


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    """The pack's folder after `maskweave train styles`."""
    result = maskweave("train", "styles", "--pack", PACK, "--device", "cpu", "--threads", "1")
    assert result.exit_code == 0, result.output
    return root / "packs" / PACK


def test_training_leaves_a_judge_the_network_and_the_prior(root: Path, trained: Path) -> None:
    assert {file.name for file in trained.glob("*.safetensors")} == {
        "label_segmenter.safetensors",
        "groupdnet.safetensors",
        "expectation.safetensors",
        "prior.safetensors",
    }
    runs = root / "runs" / PACK
    assert checkpoint_step(runs, "styles") == 8
    lines = [
        json.loads(line) for line in (runs / "label_segmenter" / "metrics.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["accuracy"] > 0.7
    assert (runs / "styles" / "sheet-000008.png").exists()


def test_training_again_changes_nothing(trained: Path) -> None:
    before = {file: load_file(file) for file in trained.glob("*.safetensors")}
    assert maskweave("train", "styles", "--pack", PACK, "--threads", "1").exit_code == 0
    for file, tensors in before.items():
        assert all((load_file(file)[key] == tensor).all() for key, tensor in tensors.items())


@pytest.mark.usefixtures("trained")
def test_evaluation_reads_with_the_judge_and_says_so(root: Path) -> None:
    result = maskweave("evaluate", PACK)  # as many as are held out
    assert result.exit_code == 0, result.output
    assert "faces" not in result.output
    assert "| | accuracy | mIoU | PSNR (dB) |" in result.output
    assert "Another label map, the same codes: change away from the edited part" in result.output
    assert f"{HELDOUT} held-out label maps. No labeller is given (data.labeller)" in result.output
    assert "so that accuracy and mIoU flatter" in result.output
    assert "by features of the pack's own label segmenter" in result.output
    written = root / "runs" / PACK / "evaluation"
    figures = json.loads((written / "metrics.json").read_text())
    assert {"ball, grown", "box, removed", "mean, grown", "mean, shrunk", "mean, removed"} <= set(
        figures["map_changes"]
    )
    assert figures["rows"]["upper bound"]["agreement"]["accuracy"] > 0.7
    assert set(figures["changes"]) == {"ground", "ball", "box", "mean"}
    names = {"styles", "box", "mixtures", "manipulation", "morph"}
    assert {path.stem for path in written.glob("*.png")} == names


@pytest.mark.usefixtures("trained")
def test_evaluation_of_more_images_than_are_held_out_is_refused() -> None:
    result = maskweave("evaluate", PACK, "--pairs", "30")
    assert result.exit_code == 1
    assert f"pairs: 30 asked for, the held-out split has {HELDOUT}" in result.output


@pytest.mark.usefixtures("trained")
def test_gateway_serves_it(root: Path) -> None:
    models = root / "models"
    result = maskweave("export", "repository", PACK, "--repository", str(models))
    assert result.exit_code == 0, result.output
    image, ids = (array[8:40, 16:48] for array in draw_shapes(1000))
    with gateway_process(models) as gateway, Client(gateway.address) as client:
        model = client.model(PACK)
        assert [entry.name for entry in model.palette] == ["ground", "ball", "box"]
        codes = client.encode_styles(PACK, np.ascontiguousarray(image), ids)
        assert list(codes) == [GROUND, BALL, BOX]
        styled: list[dict[int, Style]] = [{**codes}, {**codes, BOX: Seed(5)}]
        plain, other = (
            client.synthesize(PACK, ids, seed=1, styles=styles).images[0].to_numpy().astype(int)
            for styles in styled
        )
    assert plain.shape == (SIDE, SIDE, 3)
    assert np.ptp(plain) > 0
    assert (plain != other).any()


def test_a_wrong_file_is_one_line_before_any_training(root: Path) -> None:
    extra = root / "images" / "alone.png"
    extra.write_bytes((root / "images" / "shapes_1.png").read_bytes())
    try:
        result = maskweave("train", "styles", "--pack", PACK, "--fresh")
    finally:
        extra.unlink()
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line == "Error: images/alone.png: has no label map; needed is maps/alone.png"
