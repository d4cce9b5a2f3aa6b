"""The client's examples of styles, each as a user runs it, on a pack that shows its codes as colours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.dolls_pack import LABEL_MAP
from tests.support.gateway_process import GatewayProcess

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
TILE, GAP, HEADER = 192, 8, 28


@pytest.mark.parametrize(
    ("name", "pictures", "different"),
    [("styles_six", 7, 7), ("change_hair", 6, 6), ("mixture", 4, 4), ("manipulation", 4, 4), ("morph", 9, 9)],
)
def test_the_example_writes_its_sheet(
    dolls: GatewayProcess, tmp_path: Path, name: str, pictures: int, different: int
) -> None:
    maps = [tmp_path / "one.png", tmp_path / "other.png"]
    Image.fromarray(LABEL_MAP).save(maps[0])
    Image.fromarray(np.ascontiguousarray(LABEL_MAP.T)).save(maps[1])
    sheet = tmp_path / f"{name}.png"
    command: list[str | Path] = [sys.executable, EXAMPLES / f"{name}.py", "--address", dolls.address]
    command += ["--label-map", maps[0], "--other-label-map", maps[1], "--output", sheet]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{pictures} pictures: {sheet}\n"
    with Image.open(sheet) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (HEADER + TILE + GAP, GAP + pictures * (TILE + GAP), 3)
    tiles = {
        pixels[HEADER : HEADER + TILE, left : left + TILE].tobytes()
        for left in range(GAP, pixels.shape[1], TILE + GAP)
    }
    assert len(tiles) == different


def test_what_they_share_is_no_example_and_every_example_is_run() -> None:
    users = {
        path.stem for path in EXAMPLES.glob("*.py") if re.search("^from style_sheet", path.read_text(), re.M)
    }
    assert users == {"styles_six", "change_hair", "mixture", "manipulation", "morph"}


def test_without_a_model_with_styles_they_say_so(gateway: GatewayProcess, tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, EXAMPLES / "morph.py", "--address", gateway.address]
    command += ["--output", tmp_path / "morph.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such model with styles" in done.stderr
