"""Labelled samples: made by a labeller program, kept as seeds and label maps, read back or refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tiny_pack import tiny_config
from training.config import PackConfig
from training.data.labelled import LabellerError, load_split, make_split, split_path
from training.data.samples import pictures_of
from training.generators.base import Generator
from training.networks import pretrained_generator

HELDOUT = "heldout"


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return pretrained_generator(tiny_config())


def with_data(**changes: Any) -> PackConfig:
    config = tiny_config()
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def test_split_comes_back_without_the_pictures_that_show_no_face(generator: Generator) -> None:
    config = tiny_config()
    path = make_split(config, generator, HELDOUT, Path(sys.executable))
    assert [file.name for file in path.parent.iterdir()] == ["heldout.npz"]
    samples = load_split(config, generator, HELDOUT)
    with np.load(path) as stored:
        assert stored["seeds"].tolist() == list(range(config.data.heldout_samples))
        assert samples.seeds.tolist() == stored["seeds"][stored["detected"]].tolist()
    assert len(samples) == len(samples.latents) == len(samples.labels) > 0
    # Seeds give back the very pictures that were labelled: here by their brightness.
    brightness = pictures_of(generator, samples.latents).mean(-1)
    np.testing.assert_array_equal(samples.labels.numpy(), (brightness * 8 / 256).astype(np.uint8))


def test_missing_split_says_how_to_make_it(generator: Generator) -> None:
    with pytest.raises(FileNotFoundError, match=r"heldout\.npz is missing: run `maskweave data faces64`"):
        load_split(tiny_config(), generator, HELDOUT)


def test_split_of_other_seeds_is_refused(generator: Generator) -> None:
    make_split(tiny_config(), generator, HELDOUT, Path(sys.executable))
    with pytest.raises(ValueError, match=r"not made for seeds 0 to 24: run `maskweave data faces64` again"):
        load_split(with_data(heldout_samples=25), generator, HELDOUT)


def test_split_without_any_face_is_refused(generator: Generator) -> None:
    config = with_data(heldout_samples=2)
    path = split_path(config, HELDOUT)
    path.parent.mkdir(parents=True)
    np.savez(path, seeds=np.arange(2), labels=np.zeros((2, 64, 64), np.uint8), detected=np.zeros(2, bool))
    with pytest.raises(ValueError, match="found no face in 2 pictures"):
        load_split(config, generator, HELDOUT)


def test_failed_labeller_leaves_the_split_as_it_was(generator: Generator) -> None:
    path = make_split(tiny_config(), generator, HELDOUT, Path(sys.executable))
    before = path.read_bytes()
    with pytest.raises(LabellerError, match="ended with exit status 1"):
        make_split(with_data(labeller="tests.support.nobody"), generator, HELDOUT, Path(sys.executable))
    assert path.read_bytes() == before
