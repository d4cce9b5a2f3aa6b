"""The client's example of edits, as a user runs it, on a pack that shows what it was given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from maskweave_client import Client
from tests.support.gateway_process import GatewayProcess
from tests.support.shipped import LABEL_MAPS, fitted

EXAMPLE = Path(__file__).parents[2] / "client" / "examples" / "edit.py"


def run(gateway: GatewayProcess, sheet: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLE, "--address", gateway.address, "--output", sheet, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_seed_and_then_the_same_as_a_picture(gateway: GatewayProcess, tmp_path: Path) -> None:
    done = run(gateway, tmp_path / "edit.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"10 pictures: {tmp_path / 'edit.png'}\n"
    with Image.open(tmp_path / "edit.png") as sheet:
        assert np.asarray(sheet).std() > 0


def test_a_picture_of_ones_own(gateway: GatewayProcess, client: Client, tmp_path: Path) -> None:
    ids = fitted(LABEL_MAPS[0])
    Image.fromarray(ids).save(tmp_path / "map.png")
    client.synthesize("faces64", ids, seed=3).pictures[0].to_pil().save(tmp_path / "face.png")
    given = ("--picture", tmp_path / "face.png", "--picture-map", tmp_path / "map.png")
    done = run(gateway, tmp_path / "edit.png", *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 pictures: ")
    assert run(gateway, tmp_path / "edit.png", *given[:2]).returncode == 2
