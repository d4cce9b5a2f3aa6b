"""promtool, which checks rules and expressions as Prometheus would read them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end; output and errors are one text."""
    return subprocess.run(
        ["promtool", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def write_rules(file: Path, groups: Sequence[Mapping[str, Any]]) -> Path:
    """Write groups of rules to a file; JSON is YAML."""
    file.write_text(json.dumps({"groups": groups}))
    return file


def write_test(
    folder: Path, groups: Sequence[Mapping[str, Any]], test: Mapping[str, Any], step: str = "1m"
) -> Path:
    """Write groups of rules and one test of them to a folder; the test's file."""
    rules = write_rules(folder / "rules.yaml", groups)
    file = folder / "test.yaml"
    file.write_text(json.dumps({"rule_files": [rules.name], "evaluation_interval": step, "tests": [test]}))
    return file


def tried_rules(
    folder: Path, groups: Sequence[Mapping[str, Any]], test: Mapping[str, Any], step: str = "1m"
) -> str:
    """Run one test of rules, and return what is wrong; nothing when it passes."""
    done = promtool("test", "rules", write_test(folder, groups, test, step))
    return "" if done.returncode == 0 else done.stdout


def tried(files: Sequence[Path]) -> dict[Path, str]:
    """Run many tests of rules at once, and return what is wrong of each; nothing of those that pass."""
    done = promtool("test", "rules", *files)
    parts = (part.partition("\n") for part in done.stdout.split("Unit Testing:  ")[1:])
    told = {Path(file.strip()): text for file, _, text in parts}
    assert told.keys() == set(files), done.stdout
    wrong = {file: "" if text.strip() == "SUCCESS" else text for file, text in told.items()}
    assert any(wrong.values()) == (done.returncode != 0), done.stdout
    return wrong
