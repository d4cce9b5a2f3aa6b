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
        timeout=60,
    )


def write_rules(file: Path, groups: Sequence[Mapping[str, Any]]) -> Path:
    """Write groups of rules to a file; JSON is YAML."""
    file.write_text(json.dumps({"groups": groups}))
    return file


def tried_rules(
    folder: Path, groups: Sequence[Mapping[str, Any]], test: Mapping[str, Any], step: str = "1m"
) -> str:
    """Run one test of rules, and return what is wrong; nothing when it passes."""
    rules = write_rules(folder / "rules.yaml", groups)
    file = folder / "test.yaml"
    file.write_text(json.dumps({"rule_files": [rules.name], "evaluation_interval": step, "tests": [test]}))
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout
