"""The chart's tests need .venv/helm, which `make test` makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.chart import ROOT


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """helm, schemas and promtool are there, or the tests fail with what to do."""
    checked = subprocess.run(
        [sys.executable, ROOT / "tests" / "helm" / "tools.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        pytest.fail(checked.stderr, pytrace=False)
