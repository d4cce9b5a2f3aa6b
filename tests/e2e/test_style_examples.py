"""The client's examples of styles, each as a user runs it, on a pack that shows its codes as colours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.dolls_pack import LABEL_MAP
from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
TILE, GAP, HEADER = 192, 8, 28
ROW_TITLE, PAGE_HEADER = 150, 40
DEMO_ROWS = {"demo_styles": (7, 7, 6, 6, 8), "demo_avatars": (7,) * 6}
"""How many images each row of a demo has."""


def tiles_of(pixels: NDArray[np.uint8], left: int, top: int, images: int) -> set[bytes]:
    """The different images of a row of a sheet; none is blank."""
    starts = [left + GAP + number * (TILE + GAP) for number in range(images)]
    tiles = [pixels[top : top + TILE, start : start + TILE] for start in starts]
    assert all(tile.std() > 0 for tile in tiles)
    return {tile.tobytes() for tile in tiles}


@pytest.mark.parametrize(
    ("name", "images", "different"),
    [("styles_six", 7, 7), ("change_hair", 6, 6), ("mixture", 4, 4), ("manipulation", 4, 4), ("morph", 9, 9)],
)
def test_the_example_writes_its_sheet(
    dolls: GatewayProcess, tmp_path: Path, name: str, images: int, different: int
) -> None:
    maps = [tmp_path / "one.png", tmp_path / "other.png"]
    Image.fromarray(LABEL_MAP).save(maps[0])
    Image.fromarray(np.ascontiguousarray(LABEL_MAP.T)).save(maps[1])
    sheet = tmp_path / f"{name}.png"
    command: list[str | Path] = [EXAMPLES / f"{name}.py", "--address", dolls.address, "--model", "dolls"]
    command += ["--label-map", maps[0], "--other-label-map", maps[1], "--output", sheet]
    done = run_program(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{images} images: {sheet}\n"
    with Image.open(sheet) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (HEADER + TILE + GAP, GAP + images * (TILE + GAP), 3)
    assert len(tiles_of(pixels, 0, HEADER, images)) == different


@pytest.mark.parametrize("name", DEMO_ROWS)
def test_a_demo_of_styles_has_a_row_for_each_use(shipped: GatewayProcess, tmp_path: Path, name: str) -> None:
    rows, sheet = DEMO_ROWS[name], tmp_path / f"{name}.png"
    command: list[str | Path] = [EXAMPLES / f"{name}.py", "--address", shipped.address]
    done = run_program(*command, "--output", sheet)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{sum(rows)} images: {sheet}\n"
    page = np.asarray(Image.open(sheet))
    height = HEADER + TILE + GAP
    assert page.shape == (
        PAGE_HEADER + len(rows) * height,
        ROW_TITLE + GAP + max(rows) * (TILE + GAP),
        3,
    )
    for row, images in enumerate(rows):
        top = PAGE_HEADER + row * height + HEADER
        assert len(tiles_of(page, ROW_TITLE, top, images)) == images, row
        assert (page[top : top + TILE, ROW_TITLE + GAP + images * (TILE + GAP) :] == 255).all()


def test_what_they_share_is_no_example_and_every_example_is_run() -> None:
    users = {
        path.stem for path in EXAMPLES.glob("*.py") if re.search("^from style_sheet", path.read_text(), re.M)
    }
    of_styles = {"styles_six", "change_hair", "mixture", "manipulation", "morph"} | DEMO_ROWS.keys()
    of_conditions = {"condition_sheet", "sketch", "scribble", "proxy_mask", "exemplar", "demo_conditions"}
    of_edits = {"edit_sheet", "edit", "demo_edits"}
    assert users == of_styles | of_conditions | of_edits


def test_without_a_model_with_styles_they_say_so(gateway: GatewayProcess, tmp_path: Path) -> None:
    command: list[str | Path] = [EXAMPLES / "morph.py", "--address", gateway.address]
    command += ["--output", tmp_path / "morph.png"]
    done = run_program(*command)
    assert done.returncode == 1
    assert "no such model with styles" in done.stderr
