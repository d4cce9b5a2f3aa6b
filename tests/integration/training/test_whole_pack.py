"""`maskweave train all`: every stage of a pack from nothing, stopped, gone on with, and begun anew."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import maskweave_cli
import training.cli.train
import training.whole.train
from training.runs.updates import Shard, Step
from training.sis_ug import stages
from training.sis_ug.config import PackConfig
from training.sis_ug.loops.rearranger import RearrangerTrainer
from training.whole.notes import hashes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PACK = "faces64"
STEPS = 2
LEFT_OUT = ("scribble", "inversion", "students")
"""Stages that the pack does not have: they take longest, and are planned as the others are."""
STAGES = [name for name in stages.STAGES if name not in LEFT_OUT]


def maskweave(*arguments: str) -> Result:
    return CliRunner().invoke(maskweave_cli.main, ("train", "all", "--pack", PACK, *arguments))


def told(result: Result) -> dict[str, str]:
    """What was said of data and stages, by their names, of a plan or of a run."""
    assert result.exit_code == 0, result.output
    found = {}
    for line in result.output.splitlines():
        name, _, text = line.partition(" ")
        if name.rstrip(":") in ("data", *stages.STAGES) and "%|" not in text:  # which bars of progress have
            found[name.rstrip(":")] = text.strip()
    return found


def short(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose runs have two steps each, and whose clusters are of a few cells."""
    result = {key: short(value) if isinstance(value, dict) else value for key, value in values.items()}
    few = {"steps": STEPS, "cells": 500}
    return result | {key: value for key, value in few.items() if key in result}


@pytest.fixture(scope="module")
def root(trained: Path, config: PackConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory in which `faces64` is a pack whose stages take two steps; its data can be made."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "pack").mkdir()
    values = short(config.model_dump()) | dict.fromkeys(LEFT_OUT)
    hasty = PackConfig.model_validate(values)

    def copy_data(*_: object, **__: object) -> None:
        shutil.copytree(trained / "data", folder / "data")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training.cli.train, "load_config", lambda name: hasty)
        patch.setattr(training.cli.train, "pack_folder", lambda name: folder / "pack")
        patch.setattr(training.whole.train, "make_data", copy_data)
        yield folder


@pytest.fixture(scope="module")
def stopped(root: Path) -> Path:
    """The plan before anything is there, then a run that is stopped in the rearranger's last step."""
    plan = told(maskweave("--dry-run"))
    assert list(plan) == ["data", *STAGES]
    assert plan["data"].startswith("to do: data/faces64/train, 96 labelled samples")
    assert plan["proxies"] == "to do (proxy_segmenter: 0 of 2 steps)"
    assert plan["rearranger"] == "to do, of new proxy_segmenter (rearranger: 0 of 2 steps)"
    assert not (root / "runs").exists()
    step = RearrangerTrainer.step

    def interrupted(self: RearrangerTrainer, number: int, shard: Shard) -> Step:
        if number == STEPS - 1:
            raise KeyboardInterrupt
        return step(self, number, shard)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RearrangerTrainer, "step", interrupted)
        result = maskweave("--device", "cpu", "--checkpoint-every", "1")
    assert result.exit_code == 1, result.output
    assert (root / "data").exists()
    return root


@pytest.fixture(scope="module")
def complete(stopped: Path) -> Path:
    """The same after the command was given again."""
    plan = told(maskweave("--dry-run"))
    assert plan["data"] == "done"
    assert plan["proxies"] == "done (proxy_segmenter: 2 of 2 steps)"
    assert plan["rearranger"] == "goes on (rearranger: 1 of 2 steps)"
    first = (stopped / "runs" / PACK / "proxy_segmenter" / "metrics.jsonl").stat().st_mtime_ns
    said = told(maskweave("--device", "cpu"))
    assert said == dict.fromkeys(STAGES, "to do") | {
        "data": "done",
        "proxies": "done",
        "rearranger": "goes on",
    }
    assert (stopped / "runs" / PACK / "proxy_segmenter" / "metrics.jsonl").stat().st_mtime_ns == first
    return stopped


def test_all_that_is_shipped_is_there_and_nothing_is_left(complete: Path, trained: Path) -> None:
    names = {path.name for path in (complete / "pack").iterdir()}
    others = {"inverter", "lean_mapper", "lean_rearranger", "proxy_reader", "scribble_completer"}
    assert names == {path.name for path in (trained / "pack").iterdir() if path.stem not in others}
    before = hashes(sorted((complete / "pack").iterdir()))
    assert set(told(maskweave("--device", "cpu")).values()) == {"done"}
    assert hashes(sorted((complete / "pack").iterdir())) == before


def test_stages_of_which_something_has_changed_are_told_and_those_after_them(complete: Path) -> None:
    """Weights that are another's, as after a checkout, are put back; another seed is another training."""
    sketch = complete / "pack" / "sketch_reader.safetensors"
    own = sketch.read_bytes()
    sketch.write_bytes(b"shipped")
    assert told(maskweave("--dry-run"))["sketch"].startswith("goes on")
    said = told(maskweave("--device", "cpu"))
    assert said.pop("sketch") == "goes on"
    assert set(said.values()) == {"done"}
    assert sketch.read_bytes() == own

    plan = told(maskweave("--dry-run", "--seed", "1"))
    assert plan["judge"].startswith("begins anew: its configuration, seed, or")
    assert plan["mapper"].startswith("to do, of new discriminator, proxy_segmenter, rearranger (")


def test_stage_that_another_command_has_begun_is_gone_on_with(complete: Path) -> None:
    notes = complete / "runs" / PACK / "all.json"
    known = json.loads(notes.read_text())
    sketch = known.pop("sketch")
    notes.write_text(json.dumps(known))
    said = told(maskweave("--device", "cpu"))
    assert said["sketch"] == "goes on with what `maskweave train sketch` has begun"
    assert json.loads(notes.read_text())["sketch"] == sketch


def test_plan_of_a_pack_with_everything_is_in_the_order_of_needs(
    complete: Path, config: PackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.cli.train, "load_config", lambda name: config)
    plan = told(maskweave("--dry-run"))
    assert list(plan) == ["data", *stages.STAGES]
    assert plan["inversion"].startswith("to do, of new proxy_segmenter, rearranger_tuned (inverter: 0 of ")
    assert plan["students"].startswith("to do, of new discriminator, label_segmenter, mapper_label_map")


def test_fresh_forgets_every_checkpoint_and_keeps_the_data(
    complete: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    assert told(maskweave("--fresh", "--dry-run"))["proxies"] == "to do (proxy_segmenter: 2 steps)"
    monkeypatch.setitem(stages.STAGES, "proxies", stop)
    assert maskweave("--fresh").exit_code == 1
    assert not list((complete / "runs").rglob("checkpoint.pt"))
    plan = told(maskweave("--dry-run"))
    assert plan.pop("data") == "done"
    assert all(text.startswith(("to do", "goes on (proxy_segmenter: 0 of")) for text in plan.values())
