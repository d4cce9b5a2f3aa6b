"""Running a table: every variant with every seed is trained and measured; what is done is not done again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.ablations.configs import Budget, variant_config
from training.ablations.measures import measure
from training.ablations.tables import Table, Variant
from training.ablations.trained import AnyConfig, call_of, train_once, weights_in
from training.config.packs import pack_folder
from training.config.weights import weights_path
from training.runs.options import RunOptions

MEASURES = "measures.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """A variant with a seed.

    Attributes:
        variant: the variant.
        seed: of its training.
        config: its configuration.
        folder: where its pack, sheets and figures are kept.
        wanted: what its figures depend on.
    """

    variant: Variant
    seed: int
    config: AnyConfig
    folder: Path
    wanted: str

    def figures(self) -> dict[str, float] | None:
        """What was measured; None if that has not been done, or was of another budget."""
        file = self.folder / MEASURES
        if not file.exists():
            return None
        known = json.loads(file.read_text())
        return dict(known["figures"]) if known["of"] == self.wanted else None


def cells_of(
    name: str, table: Table, config: AnyConfig, budget: Budget, seeds: range, pairs: int, place: Path
) -> list[Cell]:
    """All of a table, seed by seed, so that a run that is stopped has whole rows of few seeds.

    Args:
        name: of the table.
        table: itself.
        config: of the pack.
        budget: of the trainings.
        seeds: of the trainings.
        pairs: that are evaluated.
        place: where the ablations of the pack are kept.

    Raises:
        ValueError: if a variant does not fit the pack's configuration.
    """
    configs = [variant_config(config, variant.changes, budget) for variant in table.variants]
    cells = []
    for seed in seeds:
        for variant, own in zip(table.variants, configs, strict=True):
            folder = place / name / f"{_slug(variant.name)}-seed{seed}"
            options = [dict(_given(table, variant, stage)) for stage in table.stages]
            made_of = json.dumps([own.model_dump(mode="json"), options, seed, pairs], sort_keys=True)
            cells.append(Cell(variant, seed, own, folder, hashlib.sha256(made_of.encode()).hexdigest()))
    return cells


def run_cell(
    table: Table,
    cell: Cell,
    place: Path,
    options: RunOptions,
    pairs: int,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """Train a variant with a seed and measure it, or go on with that; gives its figures.

    Args:
        table: its table.
        cell: which.
        place: as in `cells_of`.
        options: of the runs; folder and seed are the cell's.
        pairs: that are evaluated.
        tell: is told what is being done.

    Raises:
        FileNotFoundError: if shared weights or data are missing.
        ValueError: as the stages and the evaluation.
    """
    if (known := cell.figures()) is not None:
        return known
    shipped = pack_folder(cell.config.pack.name)
    shared = {name: weights_path(shipped, name) for name in table.shared}
    available = {name: file for name, file in shared.items() if file.exists()}
    for stage in table.stages:
        tell(f"{cell.variant.name}, seed {cell.seed}: {stage}")
        call = call_of(cell.config, stage, _given(table, cell.variant, stage))
        available |= weights_in(
            train_once(call, available, place / "trained", _with_seed(options, cell.seed))
        )
    pack = cell.folder / "pack"
    shutil.rmtree(pack, ignore_errors=True)  # of another budget
    pack.mkdir(parents=True)
    for name, file in available.items():
        weights_path(pack, name).symlink_to(file.resolve())
    figures, sheets = measure(cell.config, pack, pairs, cell.seed, tell)
    for name, sheet in sheets.items():
        sheet.save(cell.folder / f"{name}.png")
    written = {"of": cell.wanted, "variant": cell.variant.name, "seed": cell.seed, "figures": figures}
    (cell.folder / MEASURES).write_text(json.dumps(written, indent=2) + "\n")
    return figures


def _given(table: Table, variant: Variant, stage: str) -> Mapping[str, Any]:
    return variant.options.get(stage, table.options.get(stage, {}))


def _with_seed(options: RunOptions, seed: int) -> RunOptions:
    return replace(options, seed=seed)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
