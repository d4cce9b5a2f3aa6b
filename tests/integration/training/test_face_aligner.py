"""The real aligner, in the labelling tool's environment: a face comes back to its place from anywhere."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.labelled import LABELLER_PYTHON

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
FACE = ROOT / "client" / "examples" / "photographs" / "astronaut.png"


def aligned(tmp_path: Path, *images: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [ROOT / LABELLER_PYTHON, "-m", "training.data.face_aligner"]
    command += ["--output", tmp_path / "aligned", *images]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_face_that_was_turned_and_moved_comes_back(tmp_path: Path) -> None:
    with Image.open(FACE) as image:
        face = image.convert("RGB")
    scene = Image.new("RGB", (700, 500), "#808080")
    scene.paste(face.resize((320, 320), Image.Resampling.BICUBIC), (240, 90))
    scene.rotate(10, Image.Resampling.BICUBIC, fillcolor="#808080").save(tmp_path / "scene.png")
    done = aligned(tmp_path, tmp_path / "scene.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'scene.png'}: 1 faces\n"
    with Image.open(tmp_path / "aligned" / "scene.png") as image:
        found = np.asarray(image).astype(int)
    middle = slice(12, 60)
    apart = np.abs(found - np.asarray(face))[middle, middle].mean()
    assert apart < 8


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = aligned(tmp_path, tmp_path / "notes.txt")
    assert done.returncode == 2
    assert "notes.txt: expected an image file that can be read" in done.stderr
