"""The client's examples of conditions, each as a user runs it, and their sample inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess
from tests.support.small_pack import PALETTE

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
TILE, GAP, HEADER = 192, 8, 28
ROW_TITLE, PAGE_HEADER = 150, 40
SAMPLES = {
    "sketch": "sketches",
    "scribble": "scribbles",
    "proxy_mask": "proxy_masks",
    "exemplar": "exemplars",
}
IMAGES = [("sketch", 6), ("scribble", 6), ("proxy_mask", 6), ("exemplar", 6)]


def run(name: str, gateway: GatewayProcess, sheet: Path) -> str:
    command: list[str | Path] = [EXAMPLES / f"{name}.py", "--address", gateway.address]
    done = run_program(*command, "--output", sheet)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tiles_of(pixels: NDArray[np.uint8], left: int, top: int, images: int) -> set[bytes]:
    """The different images of a row of a sheet; none is blank."""
    starts = [left + GAP + number * (TILE + GAP) for number in range(images)]
    tiles = [pixels[top : top + TILE, start : start + TILE] for start in starts]
    assert all(tile.std() > 0 for tile in tiles)
    return {tile.tobytes() for tile in tiles}


@pytest.mark.parametrize(("name", "images"), IMAGES)
def test_the_example_writes_its_sheet(
    gateway: GatewayProcess, tmp_path: Path, name: str, images: int
) -> None:
    sheet = tmp_path / f"{name}.png"
    assert run(name, gateway, sheet) == f"{images} images: {sheet}\n"
    with Image.open(sheet) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (HEADER + TILE + GAP, GAP + images * (TILE + GAP), 3)
    assert len(tiles_of(pixels, 0, HEADER, images)) == images


def test_the_demo_has_a_row_for_each_sample(gateway: GatewayProcess, tmp_path: Path) -> None:
    sheet = tmp_path / "demo_conditions.png"
    files = sum(len(list((EXAMPLES / folder).glob("*.png"))) for folder in SAMPLES.values())
    rows = files + 1  # and one of strokes
    printed = run("demo_conditions", gateway, sheet)
    assert printed == f"{rows * 5} images of {rows} conditions: {sheet}\n"
    page = np.asarray(Image.open(sheet))
    height = HEADER + TILE + GAP
    assert page.shape == (PAGE_HEADER + rows * height, ROW_TITLE + GAP + 6 * (TILE + GAP), 3)
    for row in range(rows):
        assert len(tiles_of(page, ROW_TITLE, PAGE_HEADER + row * height + HEADER, 6)) == 6, row


@pytest.mark.parametrize("kind", SAMPLES)
def test_there_are_samples_of_every_kind(kind: str) -> None:
    folder = EXAMPLES / SAMPLES[kind]
    assert (folder / "README.md").is_file()
    files = sorted(folder.glob("*.png"))
    assert len(files) >= 2
    for file in files:
        with Image.open(file) as image:
            ids = {int(each) for each in np.unique(np.asarray(image))}
            if kind == "scribble":
                assert image.mode == "P"
                assert {1, 2, 4, 5, 6, 255} <= ids <= {*(entry[0] for entry in PALETTE), 255}
            if kind == "proxy_mask":
                assert (image.mode, image.size) == ("P", (32, 32))
                assert max(ids) < 26
            if kind == "exemplar":
                assert (image.mode, image.size) == ("RGB", (64, 64))


def test_without_a_model_for_them_they_say_so(dolls: GatewayProcess, tmp_path: Path) -> None:
    command: list[str | Path] = [EXAMPLES / "sketch.py", "--address", dolls.address]
    command += ["--output", tmp_path / "sketch.png"]
    done = run_program(*command)
    assert done.returncode == 1
    assert "no such model for conditions of the kind sketch" in done.stderr
