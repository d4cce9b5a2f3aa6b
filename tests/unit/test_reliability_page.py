"""docs/reliability.md guarantees nothing without the test that proves it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.core.background_writer import MAX_WAITING_BYTES
from service.core.limits import CallLimits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
HOLES = PAGE.partition("\n## Holes that were closed\n")[2].partition("\n## ")[0]
TABLE = PAGE.partition("\n## Guarantees\n")[2].partition("\n## ")[0] + HOLES
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", TABLE, re.MULTILINE)
HEADINGS = {"test", "---"}
GUARANTEES = [row for row in ROWS if row[1] not in HEADINGS]
# `tests/file.py`, `tests/file.py::test`, or `::test` of the file named before.
NAMED = re.compile(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`")


@pytest.mark.parametrize(("guarantee", "proof"), GUARANTEES)
def test_the_tests_that_prove_a_guarantee_exist(guarantee: str, proof: str) -> None:
    file = ""
    found = 0
    for match in NAMED.finditer(proof):
        file = match[1] or file
        source = (ROOT / file).read_text(encoding="utf-8")
        name = rf"{match[2]}\(" if match[2] else "test_"
        assert re.search(rf"^(?:async )?def {name}", source, re.M), f"{guarantee}: {match[0]}"
        found += 1
    assert found, guarantee


def test_every_guarantee_is_looked_at() -> None:
    assert len(GUARANTEES) > 20


def test_every_hole_that_was_closed_names_its_test() -> None:
    """The name of a file alone hid two rows whose tests were elsewhere."""
    holes = re.findall(r"^\| (.+) \| (.+) \|$", HOLES, re.MULTILINE)
    unnamed = [hole for hole, proof in holes if proof not in HEADINGS and "::" not in proof]
    assert len(holes) > 30
    assert not unnamed


def test_what_is_held_is_bounded_as_the_code_has_it() -> None:
    section = PAGE.partition("## What is held for whom")[2].partition("\n## ")[0]
    limits = CallLimits()
    checks, of_one = (
        limits.pending_checks + limits.reflections,
        (limits.pending_checks_per_caller + limits.reflections_per_caller),
    )
    assert f"| lines of the log that wait for a reader | {MAX_WAITING_BYTES >> 20} MiB |" in section
    assert f"{MAX_WAITING_BYTES >> 20} MiB wait, the rest is dropped and counted" in PAGE
    assert f"`max_request_memory_bytes`, {limits.request_memory_bytes >> 20} MiB" in section
    assert f"| {checks} x `max_message_bytes`, {checks * 16} MiB | {of_one} x `max_message_bytes`" in section
    assert f"| watches of health | {limits.watches} |" in section
    logs = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert f"Up to {MAX_WAITING_BYTES >> 20} MiB of lines wait" in logs
