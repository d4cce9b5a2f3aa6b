"""The published shapes, made small, from folders to images of the service."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file

import maskweave_cli
from maskweave_client import Client, Seed, Style
from tests.support.gateway_process import gateway_process
from tests.support.published_shapes import pack_text, small_shape, write_folders
from training.groupdnet import stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
COUNT = 14
SIZES = {"deepfashion": (32, 32), "cityscapes": (32, 64), "ade20k": (32, 32)}
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
    maskweave("train", "styles", "--pack", name, "--device", "cpu", "--threads", "1")
    weights = load_file(tmp_path / "packs" / name / "groupdnet.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())
    models = tmp_path / "models"
    maskweave("export", "repository", name, "--repository", str(models))
    height, width = SIZES[name]
    styles, numbers = CODES[name]
    ids = np.asarray(Image.open(tmp_path / "maps" / "1.png"))
    image = np.asarray(Image.open(tmp_path / "images" / "1.png"))
    with gateway_process(models) as gateway, Client(gateway.address) as client:
        support = client.model(name).styles
        assert support is not None
        assert support.style_size == numbers
        codes = client.encode_styles(name, image, ids)
        assert set(codes) == set(np.unique(ids).tolist())
        (present, *_) = codes
        styled: list[dict[int, Style]] = [{**codes}, {**codes, present: Seed(5)}]
        plain, other = (
            client.synthesize(name, ids, seed=1, styles=given).images[0].to_numpy().astype(int)
            for given in styled
        )
    assert len(weights["encoder.mean.bias"]) == styles * 8
    assert plain.shape == (height, width, 3)
    assert np.ptp(plain) > 0
    assert (plain != other).any()
