"""A table's figures as a file: what was run, where and when, and what each variant with each seed gave."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from training.ablations.configs import Budget
from training.ablations.run import Cell

PUBLISHED = Path("docs/figures/ablations")
IMAGES = Path("docs/images")


def report(
    table: str, pack: str, budget: Budget, pairs: int, command: str, cells: Sequence[Cell]
) -> dict[str, Any]:
    """Plain values, for JSON; cells that are not done are left out.

    Args:
        table: its name.
        pack: its name.
        budget: of the trainings.
        pairs: that were evaluated.
        command: that was given.
        cells: all of the table.
    """
    found = [(cell, figures) for cell in cells if (figures := cell.figures()) is not None]
    return {
        "table": table,
        "pack": pack,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "environment": environment(),
        "budget": {"steps": budget.steps, "batch": budget.batch, "samples": budget.samples},
        "pairs": pairs,
        "runs": _lengths(cells[0]),
        "cells": [
            {"variant": cell.variant.name, "seed": cell.seed, "figures": figures} for cell, figures in found
        ],
    }


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a report, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(file)


def environment() -> dict[str, Any]:
    """The machine and what ran on it."""
    return {
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def _lengths(cell: Cell) -> dict[str, str]:
    """Steps and batches of every run of a variant's configuration, by the sections' names."""
    found: dict[str, str] = {}

    def look(values: dict[str, Any], path: str) -> None:
        if "steps" in values and "batch" in values:
            found[path] = f"{values['steps']} steps of {values['batch']}"
        for key, value in values.items():
            if isinstance(value, dict):
                look(value, f"{path}.{key}" if path else key)

    look(cell.config.model_dump(), "")
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
