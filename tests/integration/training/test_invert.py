"""The verb `invert` on the shipped pack: faces that nobody trained on, from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

import training.cli.invert
from service.codecs.blending import blend
from service.synthesis.validation.edits import DEFAULT_BLEND_WIDTH
from training.cli.invert import invert
from training.data.samples import images_of, latents_of
from training.generators.dcgan import load_generator
from training.sis_ug.config import load_config
from training.sis_ug.inversion.edits import BLEND_WIDTH, blended

PHOTOGRAPHS = Path(__file__).parents[3] / "client" / "examples" / "photographs"
PHOTOGRAPH, LABEL_MAP = PHOTOGRAPHS / "astronaut.png", PHOTOGRAPHS / "label_maps" / "astronaut.png"
MOUTH = 6


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(invert, [str(argument) for argument in arguments])


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def refused(*arguments: str | Path, output: Path) -> str:
    result = run(*arguments, "--output", output)
    assert result.exit_code in {1, 2}, result.output
    assert not output.exists()
    (line,) = (line for line in result.output.splitlines() if line.startswith("Error: "))
    return line


def test_held_out_faces_come_back_better_and_always_the_same(tmp_path: Path) -> None:
    config, generator = load_config("faces64"), load_generator()
    faces = images_of(generator, latents_of(range(3), generator.latent_dim, config.latent.scale))
    files = [tmp_path / f"seed_{seed}.png" for seed in range(3)]
    for file, face in zip(files, faces, strict=True):
        Image.fromarray(face).save(file)
    for output in ("one", "other"):
        result = run("faces64", *files, "--steps", "20", "--output", tmp_path / output)
        assert result.exit_code == 0, result.output
        assert [line.split(":")[0] for line in result.output.splitlines()] == [*map(str, files), "mean of 3"]
    figures = json.loads((tmp_path / "one" / "inversion.json").read_text())
    assert figures["steps"] == 20
    assert [each["image"] for each in figures["images"]] == [str(file) for file in files]
    assert all(each["after"] > each["before"] + 2 for each in figures["images"])
    for file, face, each in zip(files, faces, figures["images"], strict=True):
        one, other = (tmp_path / output / f"{file.stem}_inverted.png" for output in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()
        error = np.square(pixels(one).astype(float) - face).mean()
        assert 10 * np.log10(255**2 / error) == pytest.approx(each["after"], abs=0.1)
        features = load_file(tmp_path / "one" / f"{file.stem}.safetensors")
        assert {key: value.shape for key, value in features.items()} == {
            "8": (1, 256, 8, 8),
            "16": (1, 128, 16, 16),
        }


def test_without_steps_it_is_what_the_inverter_reads(tmp_path: Path) -> None:
    assert run("faces64", PHOTOGRAPH, "--steps", "0", "--output", tmp_path).exit_code == 0
    (figures,) = json.loads((tmp_path / "inversion.json").read_text())["images"]
    assert figures["after"] == figures["before"]


def test_an_edit_leaves_what_both_label_maps_agree_on(tmp_path: Path) -> None:
    source = pixels(LABEL_MAP)
    target = source.copy()
    target[48:54, 24:40] = MOUTH
    Image.fromarray(target).save(tmp_path / "target.png")
    maps = ("--target-label-map", tmp_path / "target.png", "--source-label-map", LABEL_MAP)
    result = run("faces64", PHOTOGRAPH, "--steps", "2", *maps, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    edited, original = pixels(tmp_path / "out" / "astronaut_edited.png"), pixels(PHOTOGRAPH)
    assert np.array_equal(edited[:40], original[:40])
    assert not np.array_equal(edited[48:54, 24:40], original[48:54, 24:40])
    assert run("faces64", PHOTOGRAPH, "--steps", "2", *maps[:2], "--output", tmp_path / "out").exit_code == 0
    anew = pixels(tmp_path / "out" / "astronaut_edited.png")
    assert (anew != original).any(2).mean() > 0.9


def test_blending_is_the_gateways() -> None:
    drawn = np.random.default_rng(0)
    original, edited = drawn.integers(0, 256, (2, 64, 64, 3), np.uint8)
    for share in (0.0, 0.001, 0.02, 0.5, 1.0):
        changed = drawn.random((64, 64)) < share
        served = blend(original, edited, changed, DEFAULT_BLEND_WIDTH)
        np.testing.assert_array_equal(blended(original, edited, changed), served)
    assert BLEND_WIDTH == DEFAULT_BLEND_WIDTH


def test_what_cannot_be_inverted_is_named(tmp_path: Path) -> None:
    output = tmp_path / "out"
    (tmp_path / "notes.png").write_text("no image")
    Image.new("RGB", (64, 80)).save(tmp_path / "long.png")
    Image.new("RGBA", (64, 64)).save(tmp_path / "clear.png")
    Image.new("L", (64, 64), 9).save(tmp_path / "nine.png")
    (tmp_path / "again").mkdir()
    Image.open(PHOTOGRAPH).save(tmp_path / "again" / "astronaut.png")
    named = refused("faces64", tmp_path / "notes.png", output=output)
    assert "notes.png: got a file that cannot be read" in named
    assert "allowed: a complete PNG or JPEG" in named
    assert "long.png: got 64 x 80 pixels; allowed: a square" in refused(
        "faces64", tmp_path / "long.png", output=output
    )
    assert "clear.png: got an image of mode RGBA with transparent pixels" in refused(
        "faces64", tmp_path / "clear.png", output=output
    )
    assert "nine.png: got class id 9; allowed: class ids 0 to 7" in refused(
        "faces64", PHOTOGRAPH, "--target-label-map", tmp_path / "nine.png", output=output
    )
    copy = tmp_path / "again" / "astronaut.png"
    assert f"{PHOTOGRAPH} has the same name" in refused("faces64", PHOTOGRAPH, copy, output=output)


def test_label_maps_go_together_and_with_one_image(tmp_path: Path) -> None:
    output, source = tmp_path / "out", ("--source-label-map", LABEL_MAP)
    assert "--source-label-map needs --target-label-map" in refused(
        "faces64", PHOTOGRAPH, *source, output=output
    )
    other = tmp_path / "other.png"
    Image.open(PHOTOGRAPH).save(other)
    assert "--source-label-map is of one image; got 2 images" in refused(
        "faces64", PHOTOGRAPH, other, *source, "--target-label-map", LABEL_MAP, output=output
    )


def test_packs_without_an_inverter_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    assert "pack 'faces64_styles': has no inverter, its method is groupdnet" in refused(
        "faces64_styles", PHOTOGRAPH, output=output
    )
    imported = load_config("faces64").model_copy(update={"stylegan2": object()})
    with monkeypatch.context() as patch:
        patch.setattr(training.cli.invert, "load_config", lambda name: imported)
        assert "its generator, StyleGAN2, needs layer styles" in refused("faces64", PHOTOGRAPH, output=output)
    monkeypatch.setattr(training.cli.invert, "load_pipeline", lambda config, folder: _NoInverter)
    assert "pack 'faces64': has no inverter; train it with `maskweave train inversion`" in refused(
        "faces64", PHOTOGRAPH, output=output
    )


class _NoInverter:
    inverter = None
