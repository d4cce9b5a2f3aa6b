"""The real labeller, in its own environment, on the generator's faces."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.labelled import LABELLER_PYTHON, run_labeller
from training.data.samples import images_of, latents_of
from training.generators.dcgan import load_generator
from training.sis_ug.config import load_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
FACES = 24


@pytest.fixture(scope="module")
def labelled() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    config = load_config("faces64")
    generator = load_generator()
    images = images_of(generator, latents_of(range(FACES), generator.latent_dim, config.latent.scale))
    grey = np.full((1, 64, 64, 3), 127, np.uint8)
    return run_labeller(config.data.labeller, np.concatenate([images, grey]), ROOT / LABELLER_PYTHON)


def centre(labels: NDArray[np.uint8], class_id: int) -> float:
    """Mean row of a class."""
    return float(np.nonzero(labels == class_id)[0].mean())


def test_faces_are_found_and_grey_is_none(labelled: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    labels, detected = labelled
    assert labels.shape == (FACES + 1, 64, 64)
    assert detected[:FACES].mean() > 0.8
    assert not detected[FACES]
    assert (labels[FACES] == 0).all()


def test_parts_of_a_face_are_where_they_belong(labelled: tuple[NDArray[np.uint8], NDArray[np.bool_]]) -> None:
    labels, detected = labelled
    brows, eyes, nose, mouth = (
        load_config("faces64").palette.names.index(n) for n in ("brows", "eyes", "nose", "mouth")
    )
    for face in labels[detected]:
        rows = [centre(face, part) for part in (brows, eyes, nose, mouth) if (face == part).any()]
        assert rows == sorted(rows)
        assert face.max() < len(load_config("faces64").palette)
    assert np.mean([(face == nose).any() and (face == mouth).any() for face in labels[detected]]) > 0.9


def test_images_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((2, 64, 64), np.float32))
    finished = subprocess.run(
        [
            ROOT / LABELLER_PYTHON,
            "-m",
            "training.data.face_labeller",
            tmp_path / "images.npy",
            tmp_path / "labels.npz",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "expected uint8 [N, H, W, 3], found float32 (2, 64, 64)" in finished.stderr
