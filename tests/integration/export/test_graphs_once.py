"""What the tests keep from one run to the next is what would be made again, or it is made again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.stages import Stage, TensorSpec, example_inputs
from tests.support import graphs_once, made_once
from tests.support.graphs_once import content, graph_of


class Scaled(nn.Module):
    """A weight, a setting, and a function that remembers something."""

    def __init__(self, weight: float = 1.0, factor: float = 2.0, offset: float = 3.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2,), weight))
        self.factor = factor
        self.shift = lambda tensor: tensor + offset

    def forward(self, tensor: Tensor) -> Tensor:
        shifted: Tensor = self.shift(tensor * self.weight * self.factor)
        return shifted


def content_of(module: nn.Module, name: str = "X") -> str:
    spec = TensorSpec(name, torch.float32, (2,))
    stage = Stage("scaled", module, (spec,), (spec,))
    return content(stage, example_inputs(stage, 2))


def test_stages_are_told_apart_by_all_that_makes_their_graphs() -> None:
    assert content_of(Scaled()) == content_of(Scaled())
    others = [Scaled(weight=1.5), Scaled(factor=1.5), Scaled(offset=1.5), nn.Sequential(Scaled())]
    found = [content_of(each) for each in (Scaled(), *others)] + [content_of(Scaled(), "Y")]
    assert len(set(found)) == len(found)


def test_a_graph_is_exported_once_whatever_its_process_has_exported_before(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def keep(factory: pytest.TempPathFactory, name: str, make: object) -> Path:
        written.append(name)
        return Path()

    monkeypatch.setattr(graphs_once, "kept", keep)
    spec = TensorSpec("X", torch.float32, (2,))
    for module in (Scaled().train(), Scaled().eval()):
        stage = Stage("scaled", module, (spec,), (spec,))
        graph_of(tmp_path_factory, stage, example_inputs(stage, 2))
    assert len(written) == 2
    assert len(set(written)) == 1


def test_runs_share_what_is_kept_until_the_sources_change(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    def run(name: str) -> Path:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda: tmp_path / name)
        return made_once.kept(tmp_path_factory, "thing", make)

    monkeypatch.delenv(made_once.ANEW_VARIABLE, raising=False)
    monkeypatch.setattr(made_once, "KEPT", tmp_path / "kept")
    first = run("first")
    assert run("first") == first
    second = run("second")
    assert second != first
    assert (second / "file").read_text() == "content"
    assert len(made) == 1
    (second / "file").write_text("spoilt")
    assert (run("third") / "file").read_text() == "content"
    monkeypatch.setattr(made_once, "sources_digest", lambda: "others")
    run("fourth")
    assert len(made) == 2
    monkeypatch.setenv(made_once.ANEW_VARIABLE, "1")
    run("fifth")
    assert len(made) == 3


def test_a_change_of_what_trains_and_exports_makes_it_anew_and_one_of_gateways_does_not() -> None:
    found = made_once.sources()
    names = {file.stem for file in found if file.parent.name == "support"}
    # The last is imported by another of them, and has nothing to do with it by itself.
    assert names >= {"tiny_pack", "tiny_stylegan2", "brightness_labeller", "graphs_once", "training_text"}
    assert not names & {"load", "prometheus", "gateway_process"}
    assert set((made_once.ROOT / "export").rglob("*.py")) <= set(found)
    assert set((made_once.ROOT / "training").rglob("*.toml")) <= set(found)


def test_a_class_of_the_tests_is_told_apart_by_its_code() -> None:
    assert graphs_once._code_of_tests(__name__)
    assert not graphs_once._code_of_tests("torch.nn.modules.linear")


def test_only_the_latest_are_kept(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(made_once.ANEW_VARIABLE, raising=False)
    monkeypatch.setattr(made_once, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda: tmp_path)
    for number in range(10):
        old = tmp_path / "kept" / f"old-{number}"
        old.mkdir(parents=True)
        os.utime(old, (number, number))
    (tmp_path / "kept" / "in-use").mkdir()
    made_once.kept(tmp_path_factory, "thing", lambda folder: (folder / "file").touch())
    names = {place.name for place in (tmp_path / "kept").iterdir()}
    assert {name for name in names if name.startswith("old-")} == {f"old-{number}" for number in range(6, 10)}
    assert "in-use" in names
