"""The code blocks of documentation pages, and how a test runs them as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ADDRESS = "localhost:50051"
"""Where pages say that the gateway is. The one thing that tests change: theirs has a port of its own."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: The page's path in the repository.
        line: The line of the page on which its code begins.
        language: `python`, `sh` and so on; empty for a drawing.
        text: The code.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """All code blocks of a page, in their order."""
    text = (ROOT / page).read_text()
    return [
        Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])
        for found in _BLOCK.finditer(text)
    ]


def run_python(block: Block, names: dict[str, Any], address: str) -> None:
    """Run a block as it is, with the names that those before it have left."""
    code = "\n" * (block.line - 1) + block.text.replace(ADDRESS, address)
    exec(compile(code, block.page, "exec"), names)


def run_shell(
    block: Block, folder: Path, address: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a block as it is, in a folder, and stop at the first command that fails.

    Commands of the environment that runs the tests are found; `maskweave serve` stops once it is up.
    """
    path = f"{Path(__file__).parent / 'commands'}:{_COMMANDS}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text.replace(ADDRESS, address)],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHON": sys.executable, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


def checkout(folder: Path) -> None:
    """Let an empty folder look like a checkout, as far as pages use it."""
    for name in ("client", "model_repository"):
        (folder / name).symlink_to(ROOT / name)
