"""The gate on images: what passes, what does not, and what is printed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import maskweave_cli
from export.images import GATES, LABEL_MAPS, Verdict, load_samples
from export.methods import load_pack
from tests.support.wrong_graphs import put_nan, shift_image

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "model_repository"
CONDITIONS = ("label_map", "sketch", "scribble", "proxy_mask", "exemplar", "edit", "own")


def verify(repository: Path, *options: str) -> Result:
    arguments = ["export", "verify", "faces64", "--repository", str(repository), *options]
    return CliRunner().invoke(maskweave_cli.main, arguments)


def rows(result: Result) -> list[list[str]]:
    lines = [line for line in result.output.splitlines() if line.startswith("| faces64")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def one_map(tmp_path: Path) -> Path:
    """A folder with one label map, where eight images are enough."""
    return maps(tmp_path / "maps", "heldout_fringe")


def maps(folder: Path, *names: str) -> Path:
    """A folder with these of the sample label maps."""
    folder.mkdir()
    for name in names:
        shutil.copy(LABEL_MAPS / f"{name}.png", folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_committed_pack_passes_in_every_precision(tmp_path: Path) -> None:
    sheet = tmp_path / "worst.png"
    two = maps(tmp_path / "maps", "heldout_fringe", "drawn_hat")
    options = ("--precision", "fp32", "--precision", "fp16", "--precision", "bf16", "--sheet", str(sheet))
    result = verify(COMMITTED, "--label-maps", str(two), *options)
    assert result.exit_code == 0, result.output
    models = [f"faces64_{kind}" for kind in CONDITIONS]
    assert f"{16 * len(models)} images, 2 label maps by 8 seeds" in result.output
    assert [row[0] for row in rows(result)] == [model for model in models for _ in range(3)]
    assert {row[-1] for row in rows(result)} == {"passed"}
    for start, model in zip(range(0, 3 * len(models), 3), models, strict=True):
        three = rows(result)[start : start + 3]
        assert [row[1] for row in three] == ["fp32", "fp16", "bf16"]
        assert [row[2].endswith("emulated") for row in three] == [False, True, True]
        means = [float(row[3].split()[0]) for row in three]
        assert means == sorted(means, reverse=True)
        for precision in ("fp32", "fp16", "bf16"):
            with Image.open(tmp_path / f"worst-{model}-{precision}.png") as drawn:
                assert drawn.size == (8 * 128, 4 * 128)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("spoil", [shift_image, put_nan], ids=["a pixel to the left", "not a number"])
def test_wrong_images_fail_the_command(spoil: Callable[[Path], None], one_map: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(COMMITTED, tmp_path / "models"))
    spoil(repository / "faces64_generator_tail" / "1" / "model.onnx")
    result = verify(repository, "--precision", "bf16", "--label-maps", str(one_map))
    assert result.exit_code == 1
    assert [row[-1] for row in rows(result)] == ["FAILED"] * len(CONDITIONS)
    assert result.output.endswith("Error: images differ by more than their precision's gate allows\n")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("target", ["cpu", "gpu-onnx", "gpu-plan"])
def test_repository_of_each_target_is_run_in_both_layouts(
    target: str, of_target: dict[str, Path], one_map: Path
) -> None:
    result = verify(of_target[target], "--label-maps", str(one_map))
    found = [(row[0], row[1]) for row in rows(result)]
    precision = "fp32" if target == "cpu" else "fp16"
    models = [f"faces64_{kind}{layout}" for kind in CONDITIONS for layout in ("", "_fused")]
    assert found == [(model, precision) for model in models]
    if target == "cpu":  # an untrained pack decides by chance what FP16 makes of its masks
        assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("tiny_pack")
def test_only_fp32_is_converted(of_target: dict[str, Path], one_map: Path) -> None:
    result = verify(of_target["gpu-onnx"], "--precision", "bf16", "--label-maps", str(one_map))
    assert result.exit_code == 1
    assert "the graph is in fp16 already, bf16 is made from fp32" in result.output


def test_repository_without_the_pack_is_one_line(tmp_path: Path) -> None:
    result = verify(tmp_path)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path}: holds neither faces64_label_map nor faces64_label_map_fused\n"
    )


def test_samples_are_every_map_with_every_seed() -> None:
    samples = load_samples(load_pack("faces64"))
    pairs = {
        (labels.tobytes(), latent.tobytes())
        for labels, latent in zip(samples.labels, samples.latents, strict=True)
    }
    assert len(pairs) == len(samples.labels) == 8 * len(list(LABEL_MAPS.glob("*.png")))
    again = load_samples(load_pack("faces64"))
    np.testing.assert_array_equal(samples.latents, again.latents)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.new("RGB", (64, 64)), "got a PNG of mode RGB, allowed are P and L"),
        (Image.new("L", (64, 64), 8), "holds class id 8, allowed are 0 to 7"),
    ],
)
def test_label_map_that_is_none_is_named(image: Image.Image, said: str, tmp_path: Path) -> None:
    image.save(tmp_path / "map.png")
    result = verify(COMMITTED, "--label-maps", str(tmp_path))
    assert result.exit_code == 1
    assert said in result.output
    assert "map.png" in result.output


PERFECT = Verdict("model", "fp16", "engine", np.full(1000, 100.0), np.ones(1000))


def test_identical_images_pass() -> None:
    assert PERFECT.passed


@pytest.mark.parametrize("field", ["psnr", "ssim"])
@pytest.mark.parametrize("which", ["mean", "worst"])
@pytest.mark.parametrize("precision", GATES)
def test_each_figure_has_its_gate(precision: str, which: str, field: str) -> None:
    lowest: float = getattr(GATES[precision], f"{which}_{field}")
    count = len(PERFECT.psnr) if which == "mean" else 1
    for value, passes in ((lowest * (1 + 1e-9), True), (lowest * (1 - 1e-9), False)):
        figures = {"psnr": PERFECT.psnr.copy(), "ssim": PERFECT.ssim.copy()}
        figures[field][:count] = value
        verdict = replace(PERFECT, precision=precision, psnr=figures["psnr"], ssim=figures["ssim"])
        assert verdict.passed == passes


def test_not_a_number_does_not_pass() -> None:
    assert not replace(PERFECT, ssim=np.append(PERFECT.ssim[1:], np.nan)).passed


def test_mixed_repository_is_held_to_what_its_lowest_precision_allows() -> None:
    assert replace(PERFECT, precision="fp16 and fp32").gate == GATES["fp16"]
