"""docs/reliability.md promises nothing without the test that proves it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.partition("## Promises")[2].partition("\n## ")[0], re.M)[
    2:
]
# `tests/file.py`, `tests/file.py::test`, or `::test` of the file named before.
NAMED = re.compile(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`")


@pytest.mark.parametrize(("promise", "proof"), PROMISES)
def test_the_tests_that_prove_a_promise_exist(promise: str, proof: str) -> None:
    file = ""
    found = 0
    for match in NAMED.finditer(proof):
        file = match[1] or file
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {match[2] or 'test_'}", source, re.M), f"{promise}: {match[0]}"
        found += 1
    assert found, promise


def test_every_promise_is_looked_at() -> None:
    assert len(PROMISES) > 20
