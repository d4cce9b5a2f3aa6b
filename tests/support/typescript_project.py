"""A project of somebody's in which the client for TypeScript is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.gateway_process import PATIENCE_SECONDS
from tests.support.pages import ROOT

PACKAGE = ROOT / "client" / "typescript"
MODULES = PACKAGE / "node_modules"
STRICT = (
    *("--strict", "--noUncheckedIndexedAccess", "--skipLibCheck"),
    *("--target", "es2022", "--module", "nodenext", "--types", "node"),
)
"""What a careful project asks of the compiler."""


def run(*command: object, folder: Path, **variables: str) -> str:
    """What a command prints; the test fails if it does."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def make_project(root: Path) -> None:
    """Install the package in an empty folder, built of its sources."""
    assert MODULES.is_dir(), "make test installs it"
    modules = root / "node_modules"
    modules.mkdir()
    for each in MODULES.iterdir():
        (modules / each.name).symlink_to(each)
    installed = modules / "maskweave-client"
    installed.mkdir()
    for name in ("package.json", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(PACKAGE / name, installed)
    compiler = MODULES / ".bin" / "tsc"
    run(compiler, "--project", PACKAGE / "tsconfig.json", "--outDir", installed / "dist", folder=root)
    (root / "package.json").write_text('{"type": "module"}')
