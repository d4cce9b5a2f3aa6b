"""What the documentation shows works, and what it points at is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskweave_client import Client, Scribble, Stroke, blend
from tests.support.dolls_pack import HAIR, LABEL_MAP
from tests.support.dolls_pictures import HERS, HIS, seen
from tests.support.gateway_process import GatewayProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SKIPPED = {".venv", "build", "data", "dist", "runs"}
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED.intersection(path.relative_to(ROOT).parts)
)


def block(language: str, containing: str) -> str:
    """The one code block of the README in a language that contains some text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (found,) = (each for each in blocks if containing in each)
    return str(found)


def test_a_face_in_five_lines(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "client").symlink_to(ROOT / "client")
    program = block("python", "face.png").replace("localhost:50051", gateway.address)
    assert len([line for line in program.splitlines() if line]) == 5
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "face.png") as face:
        assert face.size == (64, 64)


def test_a_sketch_a_few_strokes_a_picture(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = {"client": client, "Image": Image, "np": np, "Scribble": Scribble, "Stroke": Stroke}
    exec(block("python", "sketch="), names)


def test_an_edit_of_a_seed_and_of_a_picture(client: Client) -> None:
    label_map = np.zeros((64, 64), np.uint8)
    new_label_map, picture = label_map.copy(), np.full((64, 64, 3), 90, np.uint8)
    new_label_map[:8] = HAIR
    names = {"client": client, "label_map": label_map, "new_label_map": new_label_map, "picture": picture}
    exec(block("python", "client.edit("), names)
    np.testing.assert_array_equal(names["after"].to_numpy()[16:], picture[16:])  # type: ignore[attr-defined]


def test_grpcurl_line(gateway: GatewayProcess) -> None:
    line = block("sh", "grpcurl").replace("localhost:50051", gateway.address)
    line = line.replace("grpcurl", str(Path(sys.executable).with_name("grpcurl")), 1)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert (image["width"], image["seed"]) == (64, 7)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [
        target for target in targets if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


def test_every_directory_is_on_the_map() -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "-d", "--name-only", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    visible = {name for name in listed if not name.startswith(".")}
    assert visible - set(re.findall(r"\]\(([a-z_]+)/", README)) <= {"requirements"}


def test_looks_class_by_class(dolls_client: Client) -> None:
    known = {"her_picture": HERS, "his_picture": HIS, "label_map": LABEL_MAP, "model": "dolls", "hair": HAIR}
    names: dict[str, Any] = {**known, "client": dolls_client, "blend": blend}
    exec(block("python", "blend"), names)
    assert seen(names["result"].images[0], HAIR) == (120, 70, 40)
    assert len(names["frames"]) == 30
