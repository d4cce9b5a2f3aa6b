"""The checked-in code is what the contract generates, and the contract is clean."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maskweave.v1 import synthesis_pb2 as pb

PROTO = Path(__file__).parents[3] / "proto"
BREAKING = ("breaking", "--against", "released.txtpb")
GENERATED = [
    "synthesis_pb2.py",
    "synthesis_pb2.pyi",
    "synthesis_pb2_grpc.py",
    "synthesis_pb2_grpc.pyi",
]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """Slow on first use, which installs the pinned generator."""
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([PROTO / "generate.sh", tmp_path], env=environment, check=True)
    checked_in = PROTO / "python" / "maskweave" / "v1"
    match, mismatch, errors = filecmp.cmpfiles(
        tmp_path / "maskweave" / "v1", checked_in, GENERATED, shallow=False
    )
    assert (match, mismatch, errors) == (GENERATED, [], [])


def buf(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of buf in a folder."""
    command = [str(Path(sys.executable).parent / "buf"), *arguments]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_buf_lint() -> None:
    """Naming, packaging, and a comment on everything."""
    assert buf(PROTO, "lint") == (0, "")


def test_nothing_that_was_released_is_broken() -> None:
    assert buf(PROTO, *BREAKING) == (0, "")


@pytest.mark.parametrize(
    ("released", "changed", "broken"),
    [
        ("string description = 3;", "string description = 93;", 'field "3" with name "description"'),
        ("string description = 3;", "bytes description = 3;", 'Field "3" with name "description"'),
        ("rpc ListModels(", "rpc EveryModel(", 'RPC "ListModels" on service "SynthesisService"'),
    ],
    ids=["renumbered", "another type", "renamed method"],
)
def test_what_breaks_callers_is_found(tmp_path: Path, released: str, changed: str, broken: str) -> None:
    shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("python"))
    file = tmp_path / "proto" / "maskweave" / "v1" / "synthesis.proto"
    text = file.read_text()
    assert released in text
    file.write_text(text.replace(released, changed, 1))
    code, output = buf(tmp_path / "proto", *BREAKING)
    assert code != 0
    assert broken in output


@pytest.mark.parametrize("name", ["number_of_images", "style_strength", "image_quality"])
def test_zero_and_unset_are_told_apart(name: str) -> None:
    assert pb.SynthesizeRequest.DESCRIPTOR.fields_by_name[name].has_presence
