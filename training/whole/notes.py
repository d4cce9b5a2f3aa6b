"""What of a pack this command has trained, of what, in `runs/PACK/all.json`.

A stage's note is begun when the stage begins, with what it is made of: its sections of the configuration, the
seed, and the weights that it starts from. When it is finished, the hashes of the files it has left are added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from training.runs.checkpoints import steps_done
from training.whole.stages import PackStage

FILE = "all.json"
CHECKPOINT = "checkpoint.pt"

State = Literal["done", "begun", "found", "changed", "not begun"]
"""Of a stage.

done: its weights are those that it left. begun: it was stopped. found: `maskweave train STAGE` has begun it,
of what is not known; it is gone on with, too. changed: it was made of something else, and begins anew.
"""


class Notes:
    """Notes of a pack's stages.

    Args:
        runs: folder of the pack's runs.
        seed: of the runs.
    """

    def __init__(self, runs: Path, seed: int) -> None:
        self._runs, self._seed, self._file = runs, seed, runs / FILE
        self._known: dict[str, dict[str, object]] = (
            json.loads(self._file.read_text()) if self._file.exists() else {}
        )

    def state(self, stage: PackStage) -> State:
        """Of a stage whose needs are as they will be when it is trained."""
        note = self._known.get(stage.name)
        if note is None:
            return "found" if any(done for _, done, _ in self.progress(stage)) else "not begun"
        if note["made of"] != self._made_of(stage):
            return "changed"
        return "done" if note.get("wrote") == hashes(stage.writes) else "begun"

    def progress(self, stage: PackStage) -> list[tuple[str, int, int]]:
        """Name, steps done and steps of each of a stage's runs."""
        return [(name, steps_done(self._runs / name), steps) for name, steps in stage.runs.items()]

    def begin(self, stage: PackStage) -> None:
        """Note what a stage is made of."""
        self._known[stage.name] = {"made of": self._made_of(stage)}
        self._write()

    def finish(self, stage: PackStage) -> None:
        """Note what a stage has left."""
        self._known[stage.name]["wrote"] = hashes(stage.writes)
        self._write()

    def forget(self, stage: PackStage) -> None:
        """Remove checkpoints and notes of a stage, so that it begins anew."""
        self._known.pop(stage.name, None)
        self._write()
        for run in stage.runs:
            (self._runs / run / CHECKPOINT).unlink(missing_ok=True)
        for note in stage.notes:
            (self._runs / note).unlink(missing_ok=True)

    def _made_of(self, stage: PackStage) -> str:
        values = [stage.depends_on, self._seed, hashes(stage.needs())]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def _write(self) -> None:
        self._runs.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._known, indent=2) + "\n")
        partial.replace(self._file)


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of the files that are there, by their names."""
    found = {}
    for file in files:
        if file.exists():
            with file.open("rb") as opened:
                found[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found
