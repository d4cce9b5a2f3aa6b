"""Every input that once was, or might have been, too much for a decoder or a method; none may be again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = sorted(CORPUS.glob("*/*.bin"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_an_answer_or_a_refusal(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_every_target_has_a_corpus_and_every_file_is_explained() -> None:
    assert {file.parent.name for file in FILES} == set(TARGETS)
    explained = set(re.findall(r"`([a-z0-9_]+)`", (CORPUS / "README.md").read_text()))
    assert {file.stem for file in FILES} <= explained
