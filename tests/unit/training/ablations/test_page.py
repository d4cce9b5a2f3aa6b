"""The page of ablations: what was measured with its spread, and what was not run."""

import json
from pathlib import Path

from training.ablations.measures import SIS_UG_MEASURES
from training.ablations.page import page
from training.ablations.tables import TABLES

ROOT = Path(__file__).parents[4]


def report(*cells: tuple[str, int, float]) -> dict[str, object]:
    """Of the table `losses`, with one figure for everything."""
    return {
        "table": "losses",
        "pack": "faces64",
        "command": "maskweave ablate losses --pack faces64",
        "date": "2026-01-02",
        "environment": {"cpu": "a processor", "threads": 1, "torch": "2.0", "python": "3.11", "commit": ""},
        "budget": {"steps": 0.1, "batch": 0.25, "samples": None},
        "runs": {"rearranger": "40 steps of 8", "mapper.supervised": "9 steps of 4", "judge": "6 steps of 4"},
        "pairs": 20,
        "cells": [
            {"variant": variant, "seed": seed, "figures": dict.fromkeys(SIS_UG_MEASURES, figure)}
            for variant, seed, figure in cells
        ],
    }


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def test_rows_are_means_with_their_spread_and_rows_that_were_not_run_are_named(tmp_path: Path) -> None:
    first, second, *others = (variant.name for variant in TABLES["losses"].variants)
    found = report((first, 0, 0.5), (first, 1, 0.7), (second, 0, 0.25))
    (tmp_path / "losses.json").write_text(json.dumps(found))
    shown = section(page(tmp_path), TABLES["losses"].title)
    assert f"| {first} | 2 | 0.600 (0.500 to 0.700) |" in shown
    assert f"| {second} | 1 | 0.250 |" in shown
    assert f"Not run: {', '.join(others)}." in shown
    assert "Trained: rearranger 40 steps of 8; mapper.supervised 9 steps of 4 (0.1 of the steps" in shown
    assert "20 held-out pairs, 2026-01-02, 1 thread(s) of a processor, PyTorch 2.0, with" in shown
    assert ".venv/dev/bin/maskweave ablate losses --pack faces64" in shown


def test_tables_that_were_not_run_say_so_and_how_to(tmp_path: Path) -> None:
    text = page(tmp_path)
    for name, table in TABLES.items():
        shown = section(text, table.title)
        assert "**Not run.**" in shown
        assert f"maskweave ablate {name} --pack faces64" in shown


def test_notes_of_people_stand_below_their_table(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "cut.md").write_text("What was seen.\n")
    assert "What was seen." in section(page(tmp_path), TABLES["cut"].title)


def test_the_page_is_made_of_the_figures() -> None:
    """`make ablations-page` writes it."""
    assert (ROOT / "docs/ablations.md").read_text() == page(ROOT / "docs/figures/ablations")
