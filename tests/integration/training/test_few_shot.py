"""The verbs of `few-shot`, from the command line to the files, on the tiny pack."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import training.cli.few_shot
from training.cli.few_shot import few_shot
from training.data.labelled import LABELLER_PYTHON_VARIABLE, load_split
from training.data.samples import images_of, latents_of
from training.sis_ug.config import PackConfig, few_shot_section
from training.sis_ug.networks.build import pretrained_generator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "faces64"
SHOTS = ("--shots", "1", "--shots", "6")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(few_shot, [str(argument) for argument in arguments])


def error(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return result.output.removeprefix("Error: ").strip()


@pytest.fixture
def place(trained: Path, config: PackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny pack's data, whose verbs work on its weights."""
    shutil.copytree(trained / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(LABELLER_PYTHON_VARIABLE, sys.executable)
    monkeypatch.setattr(training.cli.few_shot, "load_config", lambda name: config)
    monkeypatch.setattr(training.cli.few_shot, "pack_folder", lambda name: trained / "pack")
    return tmp_path


def brightness(image: np.ndarray) -> np.ndarray:
    """What the tiny pack's labeller would say."""
    labels: np.ndarray = (image.mean(-1) * 8 / 256).astype(np.uint8)
    return labels


def test_samples_chosen_and_painted_label_all_the_others(place: Path, config: PackConfig) -> None:
    result = run("choose", PACK, "--count", "6", "--output", place / "chosen")
    assert result.exit_code == 0, result.output
    images = sorted((place / "chosen").iterdir())
    assert [str(path) for path in images] == sorted(str(place / line) for line in result.output.split())
    candidates = config.data.seeds("train")[: few_shot_section(config).candidates]
    assert len(images) == 6
    assert all(int(path.stem) in candidates for path in images)

    (place / "painted").mkdir()
    for path in images:
        with Image.open(path) as image:
            assert image.size == (64, 64)
            Image.fromarray(brightness(np.asarray(image))).save(place / "painted" / path.name)

    labels = place / "data" / PACK / "train" / "00000.npz"
    before = labels.read_bytes()
    assert (
        error(run("label", PACK, "painted")) == f"data/{PACK}/train is there already; --replace replaces it"
    )
    assert labels.read_bytes() == before
    generator = pretrained_generator(config)
    seeds = config.data.seeds("train")
    right = brightness(images_of(generator, latents_of(seeds, 100, config.latent.scale)))

    result = run("label", PACK, "painted", "--replace")
    assert result.exit_code == 0, result.output
    assert f"{len(right)} samples, labelled after 6" in result.output
    samples = load_split(config, generator, "train")
    assert len(samples) == len(right)
    commonest = (right == np.bincount(right.ravel()).argmax()).mean()
    assert (samples.labels[:].numpy() == right).mean() > commonest + 0.1
    (sheet,) = (place / "runs" / PACK / "few_shot" / "few_shot_segmenter").glob("sheet-*.png")
    with Image.open(sheet) as image:
        assert image.size == (6 * 96, 3 * 96)


def test_handful_can_be_chosen_and_labels_all_before_any_label_was_seen(
    place: Path, trained: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user begins who has no labeller: clusters and proxy segmenter, and no label anywhere."""
    for name in ("clusters", "proxy_segmenter"):
        (place / "pack").mkdir(exist_ok=True)
        shutil.copy(trained / "pack" / f"{name}.safetensors", place / "pack")
    shutil.rmtree(place / "data")
    own = config.model_copy(update={"data": config.data.model_copy(update={"labeller": None})})
    monkeypatch.setattr(training.cli.few_shot, "load_config", lambda name: own)
    monkeypatch.setattr(training.cli.few_shot, "pack_folder", lambda name: place / "pack")
    result = run("choose", PACK, "--count", "3", "--output", place / "painted")
    assert result.exit_code == 0, result.output
    for path in (place / "painted").iterdir():
        with Image.open(path) as image:
            Image.fromarray(brightness(np.asarray(image))).save(path)
    result = run("label", PACK, "painted")
    assert result.exit_code == 0, result.output
    for split in ("train", "heldout"):
        samples = load_split(own, pretrained_generator(own), split)
        assert len(samples) == len(own.data.seeds(split))


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("face.png", Image.new("L", (64, 64)), "got the name face.png; allowed: <seed>.png"),
        ("4294967296.png", Image.new("L", (64, 64)), "got the name 4294967296.png"),
        ("7.png", Image.new("L", (32, 64)), "got 32 x 64 pixels; allowed: 64 x 64"),
        ("7.png", Image.new("L", (64, 64), 9), "got class id 9; allowed: class ids 0 to 7"),
        ("7.png", Image.new("RGB", (64, 64), (1, 2, 3)), "got the colour #010203"),
        (
            "7.png",
            Image.new("RGBA", (64, 64)),
            "got an image of mode RGBA with transparent pixels",
        ),
    ],
)
def test_files_that_are_no_label_maps_are_refused_by_name(
    place: Path, name: str, image: Image.Image, reason: str
) -> None:
    (place / "painted").mkdir()
    image.save(place / "painted" / name)
    assert error(run("label", PACK, "painted", "--replace")).startswith(f"painted/{name}: {reason}")


def test_an_empty_folder_is_refused_with_what_to_do(place: Path) -> None:
    (place / "painted").mkdir()
    assert "`maskweave few-shot choose`" in error(run("label", PACK, "painted", "--replace"))


def test_more_than_there_are_candidates_cannot_be_chosen(place: Path) -> None:
    message = error(run("choose", PACK, "--count", "21", "--output", place / "chosen"))
    assert message == "count: 21 asked for, of 20 candidates"


def test_a_pack_without_the_section_is_refused(
    place: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = config.model_copy(update={"few_shot": None})
    monkeypatch.setattr(training.cli.few_shot, "load_config", lambda name: without)
    message = error(run("evaluate", PACK, "--pairs", "8"))
    assert message == "pack 'faces64': its configuration has no section [few_shot]"


def test_the_experiment_scores_every_draw_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.few_shot.SEARCH_STEPS", 8)
    result = run("evaluate", PACK, *SHOTS, "--draws", "2", "--pairs", "8")
    assert result.exit_code == 0, result.output
    folder = place / "runs" / PACK / "few_shot" / "8-pairs"
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*/result.json"))]
    assert [(each["shots"], each["draw"]) for each in found] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (6, 0),
        (6, 1),
    ]
    for each in found:
        assert len(set(each["seeds"])) == each["shots"]
        kinds = ("synthesis", "segmenter", "search") if each["shots"] else ("synthesis",)
        assert all(0 < each[kind]["accuracy"] <= 1 and 0 < each[kind]["miou"] <= 1 for kind in kinds)
    assert set(found[2]["seeds"]).isdisjoint(found[3]["seeds"])  # every draw has a stock of its own
    # More labels, better label maps: brightness is easily learnt.
    one, six = (sum(each["segmenter"]["accuracy"] for each in found[i : i + 2]) for i in (2, 4))
    assert six > one

    table = (folder / "table.md").read_text()
    assert [line.split(" | ")[0] for line in table.splitlines()[4:]] == ["| 1", "| 6", "| all"]
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size == (8 * 96, (2 + 2 + 2 + 1) * 96)

    def nothing_left_to_do(*arguments: object, **more: object) -> None:
        raise AssertionError("a draw was run again")

    monkeypatch.setattr("training.evaluation.few_shot.train", nothing_left_to_do)
    again = run("evaluate", PACK, *SHOTS, "--draws", "2", "--pairs", "8")
    assert again.exit_code == 0, again.output
    assert (folder / "table.md").read_text() == table


def test_more_draws_than_there_are_stocks_are_refused(place: Path, config: PackConfig) -> None:
    count = len(load_split(config, pretrained_generator(config), "train"))
    message = error(run("evaluate", PACK, "--shots", "1", "--draws", "9", "--pairs", "8"))
    assert message == f"draws: 9 need 180 training samples, there are {count}"
