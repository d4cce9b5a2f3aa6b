"""The verbs `data`, `train` and `evaluate`, from the command line to the files, on the tiny pack."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import maskweave_cli
import training.cli.data
import training.cli.evaluate
import training.cli.train
from tests.support.tiny_pack import checkpoint_step
from training.data.labelled import LABELLER_PYTHON_VARIABLE
from training.sis_ug import stages
from training.sis_ug.config import PackConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "faces64"


def maskweave(*arguments: str) -> Result:
    return CliRunner().invoke(maskweave_cli.main, arguments)


def use(patch: pytest.MonkeyPatch, root: Path, config: PackConfig) -> None:
    """Let the verbs work in a folder, on a configuration, with a labeller that needs no environment."""
    (root / "pack").mkdir(exist_ok=True)
    patch.chdir(root)
    patch.setenv(LABELLER_PYTHON_VARIABLE, sys.executable)
    for command in (training.cli.data, training.cli.train, training.cli.evaluate):
        patch.setattr(command, "load_config", lambda name: config)
    for command in (training.cli.train, training.cli.evaluate):
        patch.setattr(command, "pack_folder", lambda name: root / "pack")


@pytest.fixture
def empty(tmp_path: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing made yet, and a first stage of four steps."""
    segmenter = config.proxies.segmenter.model_copy(update={"steps": 4})
    short = config.model_copy(update={"proxies": config.proxies.model_copy(update={"segmenter": segmenter})})
    use(monkeypatch, tmp_path, short)
    return tmp_path


@pytest.fixture
def complete(trained: Path, config: PackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every stage trained, in a folder of the test's own."""
    own = tmp_path / "complete"
    shutil.copytree(trained, own)
    use(monkeypatch, own, config)
    return own


def test_data_makes_both_splits_and_counts_what_was_found(empty: Path, config: PackConfig) -> None:
    result = maskweave("data", PACK)
    assert result.exit_code == 0, result.output
    for split in ("train", "heldout"):
        assert (empty / "data" / PACK / split / "00000.npz").exists()
    lines = result.stdout.splitlines()
    counts = [int(line.split()[1]) for line in lines]
    assert 0 < counts[0] <= config.data.train_samples
    assert 0 < counts[1] <= config.data.heldout_samples


@pytest.mark.parametrize("stage", [stage for stage in stages.STAGES if stage != "students"])
def test_dry_run_names_what_a_stage_reads_and_leaves(stage: str, complete: Path, config: PackConfig) -> None:
    """Against a pack that was trained: what it reads and writes is there, and its runs are done."""
    shutil.copytree(complete / "runs", complete / "runs" / PACK)
    before = sorted(complete.rglob("*"))
    result = maskweave("train", stage, "--pack", PACK, "--dry-run")
    assert result.exit_code == 0, result.output
    told = [(line[:20].strip(), line[20:]) for line in result.output.splitlines()]
    assert "missing" not in result.output
    written = {Path(text) for title, text in told if title == "writes"}
    assert written
    assert all(
        file.exists() for file in written | {Path(text) for title, text in told if title == "starts from"}
    )
    for title, text in told:
        if title == "run":
            numbers = re.search(r"(\d+) steps of \d+ samples, (\d+) done", text)
            assert numbers is not None
            assert numbers[1] == numbers[2]
    assert sorted(complete.rglob("*")) == before


def test_dry_run_of_students_starts_from_the_teachers(complete: Path) -> None:
    result = maskweave("train", "students", "--pack", PACK, "--dry-run")
    assert result.exit_code == 0, result.output
    told = [(line[:20].strip(), Path(line[20:])) for line in result.output.splitlines()]
    assert "missing" not in result.output
    assert all(file.exists() for title, file in told if title == "starts from")
    names = [file.name for title, file in told if title == "writes"]
    assert names == ["proxy_reader.safetensors", "lean_mapper.safetensors", "lean_rearranger.safetensors"]


def test_dry_run_tells_what_is_missing(empty: Path) -> None:
    result = maskweave("train", "mapper", "--pack", PACK, "--dry-run", "--cycle", "none")
    assert "proxy_segmenter.safetensors (missing)" in result.output
    assert "(missing: `maskweave data" in result.output
    assert "cycle" not in result.output


def test_train_writes_weights_and_goes_on_where_it_was(empty: Path) -> None:
    result = maskweave("train", "proxies", "--pack", PACK, "--device", "cpu", "--log-every", "2")
    assert result.exit_code == 0, result.output
    written = {path.name for path in (empty / "pack").iterdir()}
    assert written == {"clusters.safetensors", "proxy_segmenter.safetensors"}
    run = empty / "runs" / PACK / "proxy_segmenter"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert checkpoint_step(empty / "runs" / PACK, "proxy_segmenter") == 4

    weights = (empty / "pack" / "proxy_segmenter.safetensors").read_bytes()
    sheet = run / "sheet-000004.png"
    sheet.unlink()
    assert maskweave("train", "proxies", "--pack", PACK).exit_code == 0
    assert not sheet.exists()  # no step was left to do
    assert (empty / "pack" / "proxy_segmenter.safetensors").read_bytes() == weights
    assert maskweave("train", "proxies", "--pack", PACK, "--fresh", "--seed", "1").exit_code == 0
    assert sheet.exists()
    assert (empty / "pack" / "proxy_segmenter.safetensors").read_bytes() != weights


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("sketch", "--no-cycle"), "'--no-cycle': is for the stage mapper, not sketch"),
        (("rearranger", "--keep-rearranger"), "'--keep-rearranger': is for the stage mapper, not rearranger"),
        (("mapper", "--no-cycle", "--cycle", "labels"), "'--no-cycle': contradicts --cycle labels"),
    ],
)
@pytest.mark.usefixtures("empty")
def test_options_of_the_cycle_are_the_mappers(options: tuple[str, ...], complaint: str) -> None:
    result = maskweave("train", *options, "--pack", PACK)
    assert result.exit_code == 2
    assert complaint in result.output


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ((), ("labels", False)),
        (("--no-cycle",), ("none", False)),
        (("--cycle", "proxies"), ("proxies", False)),
        (("--keep-rearranger",), ("labels", True)),
    ],
)
@pytest.mark.usefixtures("empty")
def test_options_of_the_cycle_reach_the_mapper(
    options: tuple[str, ...], asked: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def train(*_: object, cycle: str, keep_rearranger: bool) -> None:
        calls.append((cycle, keep_rearranger))

    monkeypatch.setitem(stages.STAGES, "mapper", train)
    result = maskweave("train", "mapper", "--pack", PACK, *options)
    assert result.exit_code == 0, result.output
    assert calls == [asked]


@pytest.mark.usefixtures("empty")
def test_stage_before_its_turn_says_what_is_missing() -> None:
    result = maskweave("train", "rearranger", "--pack", PACK)
    assert result.exit_code == 1
    assert "proxy_segmenter.safetensors is missing: train it with `maskweave train`" in result.output


def test_mapper_without_labels_says_how_to_make_them(complete: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        result = maskweave("train", "mapper", "--pack", PACK)
    assert result.exit_code == 1
    assert f"train is missing: run `maskweave data {PACK}`" in result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("empty")
def test_missing_gpu_is_one_line() -> None:
    result = maskweave("train", "proxies", "--pack", PACK, "--device", "cuda")
    assert result.exit_code == 2
    assert "'--device': PyTorch finds no CUDA device" in result.output


def test_evaluate_writes_table_figures_and_sheets(complete: Path, config: PackConfig, tmp_path: Path) -> None:
    for name, side in (("one.png", 64), ("other.jpg", 200)):
        Image.new("RGB", (side, side), "#507090").save(tmp_path / name)
    given = ("--strength", "0", "--strength", "1", "--photographs", str(tmp_path))
    result = maskweave("evaluate", PACK, "--pairs", "12", *given)
    assert result.exit_code == 0, result.output
    rows = ["chance", "upper bound", "style strength 0", "style strength 1"]
    assert "12 held-out pairs." in result.output
    # The scores, IoU by class, the scores by the judge; and the distances of results by two networks.
    assert all(result.output.count(f"| {row} |") == 3 for row in rows[:2])
    assert all(result.output.count(f"| {row} |") == 5 for row in rows[2:])
    assert "the judge: built otherwise" in result.output
    for told in (
        "drawing 13 samples",
        "making 12 images: style strength 1",
        "reading 12 images, 4 of 4: style",
    ):
        assert told in result.stderr  # minutes, at its real size
    folder = complete / "runs" / PACK / "evaluation"
    figures = json.loads((folder / "metrics.json").read_text())
    others = [name.split(",")[0] for name in figures["rows"] if name not in rows]
    assert others == ["sketch", "sketch", "scribble", "scribble", "exemplar"]
    assert list(figures["rows"])[: len(rows)] == rows
    assert len(figures["rows"]["chance"]["agreement"]["iou"]) == len(config.palette)
    assert list(figures["distances"]["the proxy segmenter"]) == ["real, other half", *rows[2:]]
    reconstructions = figures["reconstructions"]
    assert {name: row["images"] for name, row in reconstructions.items()} == {
        "held-out images of the generator": 12,
        "photographs": 2,
    }
    assert all(row["tail"] > 0 and row["rearranged"] > 0 for row in reconstructions.values())
    assert "| photographs | 2 |" in result.output
    sheets = sorted(folder.glob("*.png"))
    assert "sheet.png" in [path.name for path in sheets]
    for path in sheets:
        with Image.open(path) as sheet:
            assert len(set(sheet.convert("L").tobytes())) > 50  # something is drawn


@pytest.mark.usefixtures("complete")
def test_evaluate_says_how_well_label_maps_are_read(config: PackConfig) -> None:
    result = maskweave("evaluate", PACK, "--label-reader", "--pairs", "12")
    assert result.exit_code == 0, result.output
    header, _, figures = result.output.splitlines()[-3:]
    assert header == f"| accuracy | mIoU | {' | '.join(config.palette.names)} |"
    assert 0 < float(figures.split("|")[1]) <= 1  # after thirty steps


@pytest.mark.usefixtures("complete")
def test_inception_that_cannot_be_had_is_left_out_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    result = maskweave("evaluate", PACK, "--pairs", "4", "--inception")
    assert result.exit_code == 0, result.output
    assert "Inception's features are left out: torch-fidelity is not installed" in result.output
    assert "by features of the proxy segmenter" in result.output
    assert "by features of Inception" not in result.output


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("pairs", "status", "complaint"),
    [
        ("500", 1, "pairs: 500 asked for, the heldout split allows 4 to "),
        ("3", 2, "3 is not in the range x>=4"),
    ],
)
def test_number_of_pairs_must_fit(pairs: str, status: int, complaint: str) -> None:
    result = maskweave("evaluate", PACK, "--pairs", pairs)
    assert result.exit_code == status
    assert complaint in result.output


@pytest.mark.usefixtures("complete")
def test_missing_labeller_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LABELLER_PYTHON_VARIABLE, "/nowhere/python")
    result = maskweave("evaluate", PACK, "--pairs", "12")
    assert result.exit_code == 1
    assert "\nError: no labeller at /nowhere/python: run `make labels-env`" in result.output
