"""The client's examples of edits, as a user runs them, on a pack that shows what it was given."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskweave_client import Client
from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess
from tests.support.shipped import LABEL_MAPS, fitted

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
EXAMPLE = EXAMPLES / "edit.py"
PHOTOGRAPHS = sorted((EXAMPLES / "photographs").glob("*.png"))
TILE, GAP, HEADER = 192, 8, 28
ROW_TITLE, PAGE_HEADER = 150, 40
ROWS = 6
WITHOUT_SOURCE_MAP = 3


def run(gateway: GatewayProcess, sheet: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    command = [EXAMPLE, "--address", gateway.address, "--output", sheet, *more]
    return run_program(*command)


def test_a_seed_and_then_the_same_as_an_image(gateway: GatewayProcess, tmp_path: Path) -> None:
    done = run(gateway, tmp_path / "edit.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"10 images: {tmp_path / 'edit.png'}\n"
    with Image.open(tmp_path / "edit.png") as sheet:
        assert np.asarray(sheet).std() > 0


def test_an_image_of_ones_own(gateway: GatewayProcess, client: Client, tmp_path: Path) -> None:
    ids = fitted(LABEL_MAPS[0])
    Image.fromarray(ids).save(tmp_path / "map.png")
    client.synthesize("faces64", ids, seed=3).images[0].to_pil().save(tmp_path / "face.png")
    given = ("--image", tmp_path / "face.png", "--image-map", tmp_path / "map.png")
    done = run(gateway, tmp_path / "edit.png", *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 images: ")
    assert run(gateway, tmp_path / "edit.png", *given[:2]).returncode == 2


@pytest.mark.parametrize("where", ["gateway", "shipped"])
def test_the_demo_shows_source_label_maps_and_result_of_each_edit(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    sheet = tmp_path / "demo_edits.png"
    gateway: GatewayProcess = request.getfixturevalue(where)
    command: list[str | Path] = [EXAMPLES / "demo_edits.py", "--address", gateway.address]
    done = run_program(*command, "--output", sheet)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{ROWS} edits: {sheet}\n"
    page = np.asarray(Image.open(sheet)).astype(int)
    height, across = HEADER + TILE + GAP, TILE + GAP
    assert page.shape == (PAGE_HEADER + ROWS * height, ROW_TITLE + GAP + 4 * across, 3)
    for row in range(ROWS):
        top = PAGE_HEADER + row * height + HEADER
        source, source_map, target_map, result = (
            page[top : top + TILE, left : left + TILE]
            for left in range(ROW_TITLE + GAP, page.shape[1], across)
        )
        assert (source != result).any(), row
        if row == WITHOUT_SOURCE_MAP:
            continue
        changed = (source_map != target_map).any(2)
        assert 0 < changed.mean() < 0.4, row
        rows, columns = np.nonzero(changed)
        beyond = np.ones_like(changed)  # the soft edge is 4 pixels of 3 on the sheet, and what bicubic adds
        beyond[max(rows.min() - 24, 0) : rows.max() + 24, max(columns.min() - 24, 0) : columns.max() + 24] = (
            False
        )
        assert (source[beyond] == result[beyond]).all(), row


def test_there_is_a_photograph_of_the_size_with_its_label_map() -> None:
    assert PHOTOGRAPHS
    for path in PHOTOGRAPHS:
        with Image.open(path) as photograph, Image.open(path.parent / "label_maps" / path.name) as label_map:
            assert (photograph.mode, photograph.size) == ("RGB", (64, 64))
            assert (label_map.mode, label_map.size) == ("P", (64, 64))
            assert {1, 2, 4, 5, 6} <= {value for _, value in label_map.getcolors() or []} <= set(range(8))
