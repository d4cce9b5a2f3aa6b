"""Training a whole pack from nothing: its data where that is missing, then every stage; resumable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from training.config.batches import split_batches
from training.runs.options import RunOptions
from training.whole.data import AnyConfig, Tell, make_data, maker_of_data, missing_data
from training.whole.notes import Notes, State
from training.whole.stages import PackStage, pack_stages

_TOLD: dict[State, str] = {
    "done": "done",
    "begun": "goes on",
    "found": "goes on with what `maskweave train {}` has begun",
    "changed": "begins anew: its configuration, seed, or what it starts from is another",
    "not begun": "to do",
}


def train_all(
    config: AnyConfig, folder: Path, options: RunOptions, tell: Tell, *, fresh: bool = False
) -> None:
    """Make what is missing of a pack's data, and train every stage that is not done.

    Given again after an interruption it goes on: from the checkpoint of the stage that was stopped.

    Args:
        config: the pack's.
        folder: the pack's.
        options: of all runs.
        tell: is told what is being done.
        fresh: forget what has been trained, and begin anew; data is kept.

    Raises:
        FileNotFoundError: if weights of another pack are missing, or folders of a user's own.
        ValueError: as the stages; or if data is missing where several processes train.
    """
    stages, is_main = pack_stages(config, folder), options.distributed.is_main
    _check(config, stages, folder, options.shards)
    notes = Notes(options.folder, options.seed)
    _make_missing(config, options, tell)
    if is_main and fresh:
        for stage in stages:
            notes.forget(stage)
    for stage in stages:
        # The main rank decides for all: the others may look at files that it is about to write.
        state = options.distributed.broadcast(notes.state(stage) if is_main else None)
        assert state is not None
        tell(f"{stage.name}: {_TOLD[state].format(stage.name)}")
        if state == "done":
            continue
        if is_main:
            if state == "changed":
                notes.forget(stage)
            notes.begin(stage)
        options.distributed.barrier()
        stage.train(options)
        if is_main:
            notes.finish(stage)
        options.distributed.barrier()


def plan(
    config: AnyConfig, folder: Path, runs: Path, seed: int, shards: int = 1, *, fresh: bool = False
) -> str:
    """What `train_all` would do, a line each: data, then the stages in order.

    Args:
        config: the pack's.
        folder: the pack's.
        runs: of the pack.
        seed: of the runs.
        shards: equal parts that each batch is divided into.
        fresh: as for `train_all`.

    Raises:
        FileNotFoundError: if weights of another pack are missing, or folders of a user's own.
        ValueError: as `pack_stages`, or if a batch cannot be divided so.
    """
    stages, notes = pack_stages(config, folder), Notes(runs, seed)
    _check(config, stages, folder, shards)
    left = missing_data(config)
    maker = maker_of_data(config).pack.name
    rows = [("data", f"to do: {left}, by `maskweave data {maker}`" if left else "done")]
    new: set[Path] = set()
    for stage in stages:
        state: State = "not begun" if fresh else notes.state(stage)
        waits = sorted(file.stem for file in new.intersection(stage.needs()))
        text = f"to do, of new {', '.join(waits)}" if waits else _TOLD[state].format(stage.name)
        if waits or state != "done":
            new.update(stage.writes)
        counted = "" if fresh else _counted(notes, stage)
        rows.append((stage.name, f"{text} ({counted or _steps(stage)})"))
    return "\n".join(f"{name:<12}{text}" for name, text in rows)


def _counted(notes: Notes, stage: PackStage) -> str:
    return ", ".join(f"{run}: {done} of {steps} steps" for run, done, steps in notes.progress(stage))


def _steps(stage: PackStage) -> str:
    return ", ".join(f"{run}: {steps} steps" for run, steps in stage.runs.items())


def _make_missing(config: AnyConfig, options: RunOptions, tell: Tell) -> None:
    left = missing_data(config)
    if left is None:
        tell("data: done")
        return
    maker = maker_of_data(config)
    if options.distributed.world_size > 1:
        raise ValueError(f"{left} missing: `maskweave data {maker.pack.name}` makes them, in one process")
    tell(f"data: {left}")
    make_data(maker, options.device, os.cpu_count() or 1, tell)


def _check(config: AnyConfig, stages: Sequence[PackStage], folder: Path, shards: int) -> None:
    """Before hours are spent: batches can be divided, and what is not made here is there."""
    for stage in stages:
        split_batches(config, stage.section, shards)
        for file in stage.needs():
            if file.parent != folder and not file.exists():
                pack = file.parent.name
                raise FileNotFoundError(f"{file} is missing: `maskweave train all --pack {pack}` makes it")
