"""The published shapes and the example of the docs, made small, from folders to images of the service."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import maskweave_cli
from maskweave_client import Client, Seed, Style
from tests.support.docs_example import example_commands, small_example_text
from tests.support.gateway_process import gateway_process
from tests.support.published_shapes import pack_text, small_shape, write_folders
from training.groupdnet import stage
from training.groupdnet.config import load_styles_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
COUNT = 14
DOCS_COUNT = 30
"""Enough for the shares of the images that the docs' example keeps for training and its judge."""
ON_ONE_CPU = ("--device", "cpu", "--threads", "1")
SIZES = {"deepfashion": (16, 16), "cityscapes": (16, 32), "ade20k": (16, 16)}
CODES = {"deepfashion": (8, 32), "cityscapes": (35, 64), "ade20k": (151, 32)}


def maskweave(*arguments: str) -> Result:
    result = CliRunner().invoke(maskweave_cli.main, arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(params=SIZES)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pack of one's own with a published network, in the working directory."""
    name: str = request.param
    write_folders(tmp_path, small_shape(name), COUNT)
    pack = tmp_path / "packs" / name
    pack.mkdir(parents=True)
    (pack / "config.toml").write_text(pack_text(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "RECALIBRATION_IMAGES", 8)
    return name


def test_published_shape_trains_exports_and_serves(name: str, tmp_path: Path) -> None:
    maskweave("train", "styles", "--pack", name, *ON_ONE_CPU)
    models = tmp_path / "models"
    maskweave("export", "repository", name, "--repository", str(models))
    weights = assert_serves(name, tmp_path, models, SIZES[name], CODES[name])
    assert len(weights["encoder.mean.bias"]) == CODES[name][0] * 8


def test_thirty_classes_train_export_and_serve_by_the_docs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pack = tmp_path / "data" / "rooms", tmp_path / "packs" / "rooms"
    pack.mkdir(parents=True)
    (pack / "config.toml").write_text(small_example_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "RECALIBRATION_IMAGES", 8)
    write_folders(folder, load_styles_config("rooms").network, DOCS_COUNT)
    commands = example_commands()
    assert [line[0] for line in commands] == ["train", "train", "train", "evaluate", "export"]
    for line in commands:
        if line[0] == "evaluate":  # takes minutes with 30 styles; test_own_images runs it with three
            continue
        told = maskweave(*line, *(ON_ONE_CPU if line[0] == "train" else ())).output
        if "--dry-run" in line:
            assert "images            32 x 32 px (height x width), 30 classes" in told
            assert "of 24 GiB         a batch of up to " in told
            assert not (tmp_path / "runs").exists()
    assert_serves("rooms", folder, tmp_path / "model_repository", (32, 32), (30, 32))


def assert_serves(
    name: str, folder: Path, models: Path, size: tuple[int, int], code: tuple[int, int]
) -> dict[str, Tensor]:
    """The gateway reads codes off an image of the folder and makes images of them; returns the weights."""
    weights = load_file(Path("packs") / name / "groupdnet.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    (height, width), (styles, numbers) = size, code
    ids = np.asarray(Image.open(folder / "maps" / "1.png"))
    image = np.asarray(Image.open(folder / "images" / "1.png"))
    with gateway_process(models) as gateway, Client(gateway.address) as client:
        support = client.model(name).styles
        assert support is not None
        assert support.style_size == numbers
        assert len(client.model(name).palette) == styles
        codes = client.encode_styles(name, image, ids)
        assert set(codes) == set(np.unique(ids).tolist())
        (present, *_) = codes
        styled: list[dict[int, Style]] = [{**codes}, {**codes, present: Seed(5)}]
        plain, other = (
            client.synthesize(name, ids, seed=1, styles=given).images[0].to_numpy().astype(int)
            for given in styled
        )
    assert plain.shape == (height, width, 3)
    assert np.ptp(plain) > 0
    assert (plain != other).any()
    return weights
