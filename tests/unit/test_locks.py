"""The locks in requirements/: complete, portable, and serving stays small."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))


def pins(lock: str) -> dict[str, str]:
    """Version of each package that a lock pins."""
    text = (REQUIREMENTS / lock).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, re.MULTILINE))


def required(project: str, *extras: str) -> set[str]:
    """Names that a pyproject.toml requires, with its extras."""
    table = tomllib.loads((ROOT / project).read_text())["project"]
    lines = [*table["dependencies"], *(line for e in extras for line in table["optional-dependencies"][e])]
    return {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower() for line in lines}


@pytest.mark.parametrize(
    "package", ["torch", "scikit-learn", "scipy", "onnx", "openvino", "mediapipe", "matplotlib"]
)
def test_serving_needs_nothing_of_training(package: str) -> None:
    assert package not in pins("serve.txt")
    assert package not in pins("client.txt")


@pytest.mark.parametrize(
    ("lock", "needed"),
    [
        ("serve.txt", required("pyproject.toml", "serve")),
        ("serve.txt", required("pyproject.toml", "bench")),
        ("client.txt", required("client/pyproject.toml")),
        ("bench.txt", required("client/pyproject.toml", "bench")),
        ("dev.txt", required("client/pyproject.toml", "bench")),
        ("export.txt", required("pyproject.toml", "train", "export") - {"torch"}),
        ("c2pa.txt", required("pyproject.toml", "c2pa")),
        ("openvino.txt", required("pyproject.toml", "openvino")),
        (
            "dev.txt",
            required("pyproject.toml", "serve", "c2pa", "openvino", "train", "export", "bench", "dev")
            - {"torch"},
        ),
    ],
    ids=["serve", "bench", "client", "measure", "dev, measure", "export", "c2pa", "openvino", "dev"],
)
def test_lock_holds_what_the_project_asks_for(lock: str, needed: set[str]) -> None:
    assert needed <= pins(lock).keys()


@pytest.mark.parametrize(
    "lock", ["serve.txt", "c2pa.txt", "openvino.txt", "client.txt", "bench.txt", "export.txt"]
)
def test_tests_run_the_versions_that_are_served(lock: str) -> None:
    assert pins(lock).items() <= pins("dev.txt").items()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_is_portable_and_hashed(lock: Path) -> None:
    text = lock.read_text()
    assert pins(lock.name)
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", text)
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_both_engines_have_the_same_onnx_runtime() -> None:
    assert pins("triton.txt")["onnxruntime"] == pins("serve.txt")["onnxruntime"]
