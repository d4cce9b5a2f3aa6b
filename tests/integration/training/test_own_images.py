"""A pack that is trained on a folder of images, from the configuration to images of the service."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import maskweave_cli
from maskweave_client import Client, Seed, Style
from tests.support.gateway_process import gateway_process
from tests.support.shapes import BALL, BOX, GROUND, SIDE, config_text, draw_shapes, write_shapes
from tests.support.tiny_pack import checkpoint_step
from training.ablations.tables import TABLES
from training.cli.ablate import ablate
from training.data.folders import place_of
from training.groupdnet import stage
from training.groupdnet.codes.encoding import MIN_PIXELS
from training.groupdnet.config import load_styles_config
from training.groupdnet.sources import source_of
from training.groupdnet.trained import load_styles

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "shapes"
COUNT = 40
JUDGED = "judged"
"""The same, with images for a judge of its own, and some for validation."""
HELDOUT = sum(place_of(f"shapes_{seed}") < 0.3 for seed in range(COUNT))


def maskweave(*arguments: str) -> Result:
    return CliRunner().invoke(maskweave_cli.main, arguments)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with images, and a pack `shapes` that every command knows."""
    folder = tmp_path_factory.mktemp("own")
    write_shapes(folder / "images", folder / "maps", COUNT, ball_every=3)
    pack = folder / "packs" / PACK
    pack.mkdir(parents=True)
    text = config_text(Path("images"), Path("maps"))
    (pack / "config.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(stage, "RECALIBRATION_IMAGES", 96)
        yield folder


@pytest.fixture(scope="module")
def trained(root: Path) -> Path:
    """The pack's folder after `maskweave train styles`."""
    result = maskweave("train", "styles", "--pack", PACK, "--device", "cpu", "--threads", "1")
    assert result.exit_code == 0, result.output
    # What follows the last step takes minutes at its real size: it tells what it is doing.
    for doing in ("recalibrate batch norms", "fit expectation", "fit prior: spreads"):
        assert doing in result.stderr
    return root / "packs" / PACK


@pytest.fixture(scope="module")
def judged(root: Path, trained: Path) -> Path:
    """The folder of the pack `judged`: the network of `shapes`, evaluated by `maskweave train judge`'s."""
    folder = root / "packs" / JUDGED
    shutil.copytree(trained, folder)
    text = (folder / "config.toml").read_text().replace(f'name = "{PACK}"', f'name = "{JUDGED}"')
    text = text.replace("heldout = 0.3", "heldout = 0.3\nvalidation = 0.2\njudge = 0.3")
    (folder / "config.toml").write_text(
        text + "\n[judge]\nwidth = 8\nsteps = 4\nbatch = 4\nlearning_rate = 2e-3\n"
    )
    command = ("train", "judge", "--pack", JUDGED, "--device", "cpu", "--threads", "1")
    planned = maskweave(*command, "--dry-run")
    assert "judge: 4 steps of 4 samples, 0 done" in planned.output, planned.output
    assert "a step of 4: 0.0" in planned.output
    assert "on a GPU that keeps up" in planned.output
    assert not (root / "runs" / JUDGED).exists()
    result = maskweave(*command)
    assert result.exit_code == 0, result.output
    assert "judge: 4 steps of 4 samples, 4 done" in maskweave(*command, "--dry-run").output
    return folder


def test_train_all_goes_on_with_what_is_there_and_then_has_nothing_left(root: Path, trained: Path) -> None:
    command = ("train", "all", "--pack", PACK, "--device", "cpu", "--threads", "1")
    before = {file.name: file.read_bytes() for file in trained.glob("*.safetensors")}
    checkpoint = root / "runs" / PACK / "styles" / "checkpoint.pt"
    written = checkpoint.stat().st_mtime_ns
    found = maskweave(*command)
    assert found.exit_code == 0, found.output
    assert "styles: goes on with what `maskweave train styles` has begun" in found.stderr
    assert "styles: done" in maskweave(*command).stderr
    assert checkpoint.stat().st_mtime_ns == written
    assert {file.name: file.read_bytes() for file in trained.glob("*.safetensors")} == before


@pytest.mark.usefixtures("judged")
def test_all_of_a_pack_with_images_of_its_own_is_its_network_and_its_judge() -> None:
    planned = maskweave("train", "all", "--pack", JUDGED, "--dry-run")
    assert [line[:12].strip() for line in planned.output.splitlines()] == ["data", "styles", "judge"]
    assert "judge       goes on with what `maskweave train judge` has begun (judge: 4 of 4" in planned.output


def test_ablation_of_what_codes_depart_from_trains_nothing(
    root: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = replace(TABLES["prior"], variants=TABLES["prior"].variants[-1:])
    monkeypatch.setitem(TABLES, "prior", table)
    before = {file.name: file.read_bytes() for file in judged.glob("*.safetensors")}
    command = ("prior", "--pack", JUDGED, "--pairs", "4", "--seeds", "1", "--device", "cpu")
    result = CliRunner().invoke(ablate, command)
    assert result.exit_code == 0, result.output
    assert "| nothing is expected | 1 | " in result.output
    assert "Nothing was trained." in result.output
    cell = root / "runs/ablations" / JUDGED / "prior" / "nothing_is_expected-seed0"
    assert {file.stem for file in (cell / "pack").iterdir()} == {"groupdnet", "label_segmenter", "prior"}
    assert {file.name: file.read_bytes() for file in judged.glob("*.safetensors")} == before


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


def test_a_part_of_few_images_keeps_the_spread_that_it_has_there(trained: Path) -> None:
    """A ball is in every third image: what its code is in the others says nothing of balls."""
    config = load_styles_config(PACK)
    pack, pairs = load_styles(config, trained), source_of(config, trained).pairs("train")
    codes = pack.codes(pairs, torch.arange(len(pairs)))
    shows = (pairs.labels == BALL).sum((1, 2)) >= MIN_PIXELS
    assert 3 <= shows.sum() < len(pairs) / 2
    wanted = codes[shows, BALL].var(0).sum().sqrt()
    section = config.needed_training
    drawn = pack.prior(pack.noise(20_000, 0))
    for some, spread in zip(drawn, (section.joint_spread, section.single_spread), strict=True):
        found = some[:, BALL].var(0).sum().sqrt() / spread
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.02)
    of_all = codes[:, BALL].var(0).sum().sqrt()
    assert abs(of_all / wanted - 1) > 0.2  # so the two can be told apart


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


@pytest.mark.usefixtures("judged")
def test_a_judge_of_its_own_reads_what_no_loss_asked(root: Path) -> None:
    result = maskweave("evaluate", JUDGED, "--split", "validation")
    assert result.exit_code == 0, result.output
    assert "validation label maps. Read by the judge: built otherwise than any" in result.output
    assert "accuracy and mIoU flatter" not in result.output
    assert "the judge: no loss asks it." in result.output
    assert "change in its part and elsewhere (L1 of 1; distance by features of the judge)" in result.output
    assert "the pack's own label segmenter: two losses ask this very network" in result.output
    figures = json.loads((root / "runs" / JUDGED / "evaluation" / "metrics.json").read_text())
    places = [place_of(f"shapes_{seed}") for seed in range(COUNT)]
    assert figures["maps"] == sum(0.3 <= place < 0.5 for place in places)
    assert set(figures["distances"]) == {"the pack's own label segmenter", "the judge"}
    for doing in ("reading the validation split", "images: joint prior", "changing single codes, then maps"):
        assert doing in result.stderr  # minutes, at its real size


def test_dry_run_tells_of_all_that_is_trained_and_of_every_share(judged: Path) -> None:
    result = maskweave("train", "styles", "--pack", judged.name, "--dry-run", "--memory", "0.001")
    assert result.exit_code == 0, result.output
    shares = (0.3, 0.5, 0.8, 1.0)
    places = [place_of(f"shapes_{seed}") for seed in range(COUNT)]
    heldout, validation, judge, train = np.histogram(places, (0.0, *shares))[0]
    counts = f"{train} images to train on, {heldout} held out, {validation} for validation, {judge} for judge"
    assert counts in result.output
    assert "trained first     the label segmenter, training.judge" in result.output
    assert "GiB, too much for 0.001 GiB: lower its batch" in result.output


@pytest.mark.usefixtures("trained")
def test_what_a_pack_has_no_images_for_is_refused() -> None:
    result = maskweave("evaluate", PACK, "--split", "validation")
    assert result.exit_code == 1
    assert "data.validation: the configuration gives it no share of the images" in result.output
    result = maskweave("train", "judge", "--pack", PACK)
    assert result.exit_code == 1
    assert "pack 'shapes': its configuration has no section [judge]" in result.output


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
