"""Labelled samples: made by a labeller program, kept as seeds and label maps, read back or refused."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.edits import _heldout
from tests.support.tiny_pack import tiny_config
from training.data import parts, splits
from training.data.labelled import LabellerError, load_split, run_labeller
from training.data.parts import PackedLabels, read_parts
from training.data.samples import images_of
from training.data.splits import make_split
from training.generators.base import Generator
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import pretrained_generator

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


PYTHON = Path(sys.executable)


def test_split_comes_back_without_the_images_that_show_nothing(generator: Generator) -> None:
    config = tiny_config()
    folder = make_split(config, generator, HELDOUT, PYTHON)
    assert [file.name for file in folder.iterdir()] == ["00000.npz"]
    samples = load_split(config, generator, HELDOUT)
    (part,) = read_parts(folder)
    assert part.seeds.tolist() == list(range(config.data.heldout_samples))
    assert samples.seeds.tolist() == part.seeds[part.detected].tolist()
    assert len(samples) == len(samples.latents) == len(samples.labels) > 0
    # Seeds give back the very images that were labelled: here by their brightness.
    brightness = images_of(generator, samples.latents).mean(-1)
    np.testing.assert_array_equal(samples.labels[:].numpy(), (brightness * 8 / 256).astype(np.uint8))


def counted(monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None) -> list[int]:
    """Images that the labeller is given at each call; at one of them the run is killed."""
    calls: list[int] = []

    def labelling(module: str, images: np.ndarray, *others: Any) -> Any:
        if len(calls) == fail_at:
            raise KeyboardInterrupt
        calls.append(len(images))
        return run_labeller(module, images, *others)

    monkeypatch.setattr(splits, "run_labeller", labelling)
    return calls


@pytest.fixture
def parts_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SAMPLES", 10)


@pytest.mark.usefixtures("parts_of_ten")
def test_split_is_made_in_parts_after_a_few_images(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_all(generator, make_split(tiny_config(), generator, HELDOUT, PYTHON))
    shutil.rmtree("data")
    monkeypatch.setattr(parts, "PART_SAMPLES", 2048)
    assert load_all(generator, make_split(tiny_config(), generator, HELDOUT, PYTHON)) == whole
    shutil.rmtree("data")
    monkeypatch.setattr(parts, "PART_SAMPLES", 10)
    calls = counted(monkeypatch)
    folder = make_split(tiny_config(), generator, HELDOUT, PYTHON)
    assert calls == [8, 10, 10, 4]  # never all of them at once
    assert (folder.parent / "probe.png").exists()


def load_all(generator: Generator, folder: Path) -> tuple[list[int], bytes]:
    assert folder.name == HELDOUT
    samples = load_split(tiny_config(), generator, HELDOUT)
    return samples.seeds.tolist(), samples.labels[:].numpy().tobytes()


@pytest.mark.usefixtures("parts_of_ten")
def test_run_that_was_killed_goes_on_where_it_was(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as killing:
        counted(killing, fail_at=2)  # the probe, the first part
        with pytest.raises(KeyboardInterrupt):
            make_split(tiny_config(), generator, HELDOUT, PYTHON)
    with pytest.raises(ValueError, match=r"heldout has 10 of 24 samples: run `maskweave data .* to go on"):
        load_split(tiny_config(), generator, HELDOUT)
    folder = Path("data/faces64/heldout")
    (folder / "00001.partial.npz").write_bytes(b"cut off")
    calls = counted(monkeypatch)
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    assert calls == [8, 10, 4]
    assert sorted(file.name for file in folder.iterdir()) == ["00000.npz", "00001.npz", "00002.npz"]
    calls.clear()
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    assert calls == []  # nothing was left to do
    (folder / "00001.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"00001\.npz is damaged .*: remove it, and make it anew"):
        load_split(tiny_config(), generator, HELDOUT)
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    assert calls == [8, 10]
    calls.clear()
    make_split(tiny_config(), generator, HELDOUT, PYTHON, fresh=True)
    assert calls == [8, 10, 10, 4]


@pytest.mark.usefixtures("parts_of_ten")
def test_parts_made_otherwise_are_made_anew(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    calls = counted(monkeypatch)
    latent = tiny_config().latent.model_copy(update={"scale": 0.5})
    make_split(tiny_config().model_copy(update={"latent": latent}), generator, HELDOUT, PYTHON)
    assert calls == [8, 10, 10, 4]
    calls.clear()
    make_split(with_data(heldout_samples=15), generator, HELDOUT, PYTHON)
    assert calls == [8, 10, 5]
    assert len(list(Path("data/faces64/heldout").iterdir())) == 2  # the third is gone


def test_large_label_maps_stay_packed(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    plain = load_split(tiny_config(), generator, HELDOUT).labels
    monkeypatch.setattr(parts, "PLAIN_BYTES", 1000)
    packed = load_split(tiny_config(), generator, HELDOUT).labels
    assert isinstance(plain, torch.Tensor)
    assert isinstance(packed, PackedLabels)
    assert len(packed) == len(plain)
    for chosen in (slice(None), slice(2, 100), torch.tensor([5, 0, 5]), np.array([1, 3])):
        assert torch.equal(packed[chosen], plain[chosen])


@pytest.mark.usefixtures("parts_of_ten")
def test_benchmark_of_edits_reads_the_same_samples(generator: Generator) -> None:
    """It imports nothing of training, and so reads the files by itself."""
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    samples = load_split(tiny_config(), generator, HELDOUT)
    seeds, labels = _heldout("faces64", 12)
    assert seeds == samples.seeds[:12].tolist()
    assert np.array_equal(labels, samples.labels[:12].numpy())


def test_missing_split_says_how_to_make_it(generator: Generator) -> None:
    with pytest.raises(FileNotFoundError, match=r"heldout is missing: run `maskweave data faces64`"):
        load_split(tiny_config(), generator, HELDOUT)


def test_split_of_other_seeds_is_refused(generator: Generator) -> None:
    make_split(tiny_config(), generator, HELDOUT, PYTHON)
    with pytest.raises(ValueError, match=r"not made for seeds 1 to 24: run `maskweave data faces64` again"):
        load_split(with_data(heldout_first_seed=1), generator, HELDOUT)


def written(folder: Path, labels: object, detected: object, name: str = "labels") -> str:
    """A labeller program that answers this, whatever it is asked."""
    (folder / "answers.py").write_text(
        f"import sys, numpy as np\nnp.savez(sys.argv[2], detected=np.array({detected}), {name}=np.{labels})\n"
    )
    return "answers"


@pytest.mark.parametrize(
    ("labels", "detected", "complaint"),
    [
        (
            "zeros((2, 64, 64))",
            [True] * 2,
            r"'labels' of float64 \[2, 64, 64\]; allowed: uint8 \[2, 64, 64\]",
        ),
        ("zeros((2, 32, 32), np.uint8)", [True] * 2, r"'labels' of uint8 \[2, 32, 32\]; allowed"),
        ("zeros((2, 64, 64), np.uint8)", [1, 1], r"'detected' of int64 \[2\]; allowed: bool \[2\]"),
        ("full((2, 64, 64), 8, np.uint8)", [True] * 2, "the class 8; allowed: 0 to 7, and 255 for none"),
    ],
)
def test_labeller_that_does_not_answer_as_agreed_is_told(
    generator: Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels: str,
    detected: object,
    complaint: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    config = with_data(heldout_samples=2, labeller=written(tmp_path, labels, detected))
    with pytest.raises(LabellerError, match=complaint):
        make_split(config, generator, HELDOUT, PYTHON)
    written(tmp_path, labels, detected, "maps")
    with pytest.raises(LabellerError, match="has written no 'labels' and 'detected' that can be read"):
        make_split(config, generator, HELDOUT, PYTHON)
    assert not Path("data/faces64/heldout").exists()


def test_labeller_that_finds_nothing_is_stopped_after_a_few_images(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    labeller = written(tmp_path, "full((8, 64, 64), 255, np.uint8)", [False] * 8)
    with pytest.raises(LabellerError, match=r"finds nothing in the first 8 images; look at .*probe\.png"):
        make_split(with_data(labeller=labeller), generator, HELDOUT, PYTHON)
    assert Path("data/faces64/probe.png").exists()


def test_pack_without_labeller_says_what_to_do_instead(generator: Generator) -> None:
    with pytest.raises(LabellerError, match=r"data\.labeller: .* names none; label a handful by hand"):
        make_split(with_data(labeller=None), generator, HELDOUT, PYTHON)


def test_failed_labeller_leaves_the_split_as_it_was(generator: Generator) -> None:
    folder = make_split(tiny_config(), generator, HELDOUT, PYTHON)
    before = (folder / "00000.npz").read_bytes()
    with pytest.raises(LabellerError, match="ended with exit status 1"):
        make_split(with_data(labeller="tests.support.nobody"), generator, HELDOUT, PYTHON)
    assert (folder / "00000.npz").read_bytes() == before
