"""The synchronous client is what is generated from the asynchronous one, and what is by hand matches."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from maskweave_client import _async_transport, _sync_transport

CLIENT = Path(__file__).parents[3] / "client"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script that `make client` runs."""
    spec = importlib.util.spec_from_file_location("generate_sync", CLIENT / "generate_sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_synchronous_half_is_generated(generator: ModuleType, tmp_path: Path) -> None:
    generator.generate(tmp_path)
    generated = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    committed = {path.name: path.read_text() for path in (CLIENT / "maskweave_client/_sync").glob("*.py")}
    assert committed == generated, "run `make client`"


def test_a_phrase_that_is_not_there_is_noticed(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(generator.PHRASES, "nobody says this", "or that")
    with pytest.raises(ValueError, match="nobody says this"):
        generator.generate(tmp_path)


def names(module: ModuleType, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in vars(module) if name.startswith(prefix)} - {"Iterator"}


def test_both_seams_have_the_same_names() -> None:
    assert names(_async_transport, "Async") == names(_sync_transport, "Sync")


@pytest.mark.parametrize("name", ["Transport", "PaintCall"])
def test_both_seams_have_the_same_methods(name: str) -> None:
    def methods(owner: type) -> dict[str, list[str]]:
        functions = inspect.getmembers(owner, inspect.isfunction)
        return {each: list(inspect.signature(function).parameters) for each, function in functions}

    ours = methods(getattr(_sync_transport, f"Sync{name}"))
    theirs = methods(getattr(_async_transport, f"Async{name}"))
    public = {each: found for each, found in theirs.items() if each == "__init__" or not each.startswith("_")}
    assert ours == public
