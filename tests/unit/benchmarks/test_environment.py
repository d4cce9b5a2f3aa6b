from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy
import pytest

from benchmarks import environment


def test_fingerprint_names_machine_software_source_and_weights(tmp_path: Path) -> None:
    weights = tmp_path / "stage" / "1" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")

    found = environment.fingerprint(tmp_path)

    assert found["models"] == {"stage/1/model.onnx": hashlib.sha256(b"weights").hexdigest()}
    assert found["packages"]["numpy"] == numpy.__version__
    assert found["machine"]["usable_cores"] >= 1
    assert json.loads(json.dumps(found)) == found


def test_outside_of_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.fingerprint(tmp_path)["git"] == {}
