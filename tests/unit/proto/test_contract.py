"""The checked-in code is what the contract generates, and the contract is clean."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskweave.v1 import synthesis_pb2 as pb

PROTO = Path(__file__).parents[3] / "proto"
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


def test_buf_lint() -> None:
    """Naming, packaging, and a comment on everything."""
    buf = Path(sys.executable).parent / "buf"
    linted = subprocess.run([buf, "lint"], cwd=PROTO, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["number_of_images", "style_strength", "image_quality"])
def test_zero_and_unset_are_told_apart(name: str) -> None:
    assert pb.SynthesizeRequest.DESCRIPTOR.fields_by_name[name].has_presence
