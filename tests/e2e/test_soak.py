"""`make soak`, for seconds instead of minutes: it runs, judges what it saw and writes it down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak_load import ALLOWED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_short_soak(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", "5", "--every", "1"]
    options = ["--model-repository", str(repository), "--output", str(output)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=100)
    figures = json.loads(output.read_text())
    summary = figures["summary"]
    # Memory still grows in the first seconds.
    assert [problem for problem in summary["problems"] if not problem.startswith("memory")] == []
    assert done.returncode == bool(summary["problems"]), done.stderr
    assert {outcome.partition(":")[0] for outcome in summary["outcomes"]} == ALLOWED.keys()
    assert summary["requests"] == sum(summary["outcomes"].values()) > 0
    assert len(figures["rows"]) >= 4
    assert f"{summary['requests']} requests" in done.stdout
