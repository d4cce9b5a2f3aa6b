"""The client's examples; the demo as `make demo` runs it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.small_pack import PALETTE

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "client" / "examples"
LABEL_MAPS = sorted((EXAMPLES / "label_maps").glob("*.png"))
SEEDS = 5


@pytest.fixture(scope="module")
def demo(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo printed, and the sheet that it wrote, on a gateway that nobody has asked for anything."""
    sheet = tmp_path_factory.mktemp("demo") / "demo.png"
    with gateway_process(repository) as fresh:
        command: list[str | Path] = [EXAMPLES / "demo.py"]
        command += ["--address", fresh.address, "--output", sheet]
        done = run_program(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout, sheet


def test_there_are_eight_sample_label_maps_and_two_are_drawn() -> None:
    assert len(LABEL_MAPS) >= 8
    assert sum(path.name.startswith("drawn") for path in LABEL_MAPS) == 2


@pytest.mark.parametrize("path", LABEL_MAPS, ids=lambda path: path.stem)
def test_sample_is_a_label_map_of_the_palette(path: Path) -> None:
    with Image.open(path) as image:
        assert image.mode == "P"
        ids = {value for _, value in image.getcolors() or []}
    assert {0, 1, 2, 4, 5, 6} <= ids <= {entry[0] for entry in PALETTE}


def test_sheet_has_a_row_for_each_map_and_a_column_for_each_seed(demo: tuple[str, Path]) -> None:
    with Image.open(demo[1]) as sheet:
        width, height = sheet.size
        tiles = sheet.convert("RGB")
    tile = 192
    assert width > (1 + SEEDS) * tile
    assert height > len(LABEL_MAPS) * tile
    # Every tile of the fake pack shows several classes, so none is blank.
    for row in range(len(LABEL_MAPS)):
        for column in range(1 + SEEDS):
            left, top = 170 + column * (tile + 8), 72 + row * (tile + 8)
            colors = tiles.crop((left, top, left + tile, top + tile)).getcolors(2**16)
            assert colors is None or len(colors) >= 6


def test_table_shows_every_stage_with_p50_and_p99(demo: tuple[str, Path]) -> None:
    requests = len(LABEL_MAPS) * SEEDS
    rows = {
        match[1].strip(): match.groups()[1:]
        for match in re.finditer(r"^(.{32}) +([\d.]+) +([\d.]+) +(\d+) *(\d*)$", demo[0], re.MULTILINE)
    }
    assert list(rows) == [
        "queue",
        "decode",
        "faces64_generator_head",
        "faces64_mapper_label_map",
        "faces64_rearranger",
        "faces64_generator_tail",
        "encode",
        "total in the service",
        "as the client sees it",
    ]
    for name, (p50, p99, runs, cached) in rows.items():
        assert 0 <= float(p50) <= float(p99), name
        assert int(runs) + int(cached or 0) == requests, name
    # A seed's head runs once; every other label map finds it in the response cache.
    assert rows["faces64_generator_head"][2:] == (str(SEEDS), str(requests - SEEDS))


def test_last_line_says_where_the_image_is(demo: tuple[str, Path]) -> None:
    printed, sheet = demo
    assert printed.rstrip().endswith(f"of {len(LABEL_MAPS)} label maps: {sheet}")


def test_the_painting_example_writes_a_frame_for_every_line_it_prints(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    animation = tmp_path / "paint.gif"
    command: list[str | Path] = [EXAMPLES / "paint.py", "--strokes", "8"]
    command += ["--address", gateway.address, "--output", animation]
    done = run_program(*command)
    assert done.returncode == 0, done.stderr
    *lines, summary = done.stdout.splitlines()
    assert lines[-1].startswith("stroke   8: ")
    assert summary == f"8 strokes, {len(lines) + 1} frames: {animation}"
    with Image.open(animation) as image:
        first = np.asarray(image.convert("RGB"))
        image.seek(getattr(image, "n_frames", 1) - 1)
        last = np.asarray(image.convert("RGB"))
    assert first.shape == (192, 192, 3)
    assert (first != last).any()
