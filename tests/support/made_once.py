"""Files that are dear to make: made once in a run of the tests for all workers, or kept for later runs."""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".venv" / "kept-by-tests"
ANEW_VARIABLE = "MASKWEAVE_TESTS_ANEW"
"""With this variable nothing is taken from earlier runs."""

_SOURCES = ("export", "training")
_HAS_TO_DO_WITH_IT = re.compile(r"(?m)^(?:from|import) (?:torch|training|export)\b|labeller")
_OF_SUPPORT = re.compile(r"tests\.support\.(\w+) import")
_PACKAGES = (
    "torch", "onnx", "onnxscript", "onnx-ir", "numpy", "scikit-learn", "scipy", "pillow", "safetensors",
    "torchmetrics",
)  # fmt: skip
_MOST_KEPT = 6
"""Of a hundred megabytes at most, each for other sources; the tiny pack and the exports have one each."""
_RUN_SECONDS = 2 * 3600


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker who asks for it makes, and that the others wait for.

    It lies in the temporary folder of the run, so that the next run, with other code, makes its own.

    Args:
        factory: The tests' maker of temporary folders.
        name: The folder's name, the same for the same content.
        make: Fills the folder, which exists and is empty. Nobody writes to it afterwards.
    """
    base = factory.getbasetemp()
    run = base.parent if base.name.startswith("popen-") else base  # a worker's own is one of the run's
    return _made(run, f"once-{name}", make)


def kept(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Like `made_once`, of what depends on nothing but the sources and on what its name says.

    The run gets a copy of what an earlier one has made of the very same sources and packages on this
    machine, if there is any. `make clean` removes it.
    """

    def take(folder: Path) -> None:
        if ANEW_VARIABLE in os.environ:
            make(folder)
            return
        # What makes it need not be in the tests' support.
        program = hashlib.sha256(Path(inspect.getfile(make)).read_bytes()).hexdigest()[:8]
        place = KEPT / f"{sources_digest()}-{program}"
        place.mkdir(parents=True, exist_ok=True)
        os.utime(place)
        shutil.copytree(_made(place, name, make), folder, dirs_exist_ok=True)
        _forget_old()

    return made_once(factory, name, take)


def _forget_old() -> None:
    """Remove what is of sources that have changed since, but for the latest and what a run may still use."""
    used = dict[Path, float]()
    for place in KEPT.iterdir():
        with suppress(FileNotFoundError):  # another worker was quicker
            used[place] = place.stat().st_mtime
    for place in sorted(used, key=used.__getitem__)[:-_MOST_KEPT]:
        if time.time() - used[place] > _RUN_SECONDS:
            shutil.rmtree(place, ignore_errors=True)


@functools.cache
def sources_digest() -> str:
    """Of all that what is kept has been made by: sources, packages and Python."""
    digest = hashlib.sha256(f"{sys.version} {[version(each) for each in _PACKAGES]}".encode())
    for file in sources():
        content = file.read_bytes()
        digest.update(f"{file.relative_to(ROOT)} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def sources() -> list[Path]:
    """The files that what is kept has been made by: not those of gateways and charts."""
    found = {file for place in _SOURCES for file in (ROOT / place).rglob("*")}
    support = ROOT / "tests" / "support"
    left = [file for file in support.glob("*.py") if _HAS_TO_DO_WITH_IT.search(file.read_text())]
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += [support / f"{name}.py" for name in _OF_SUPPORT.findall(file.read_text())]
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _made(place: Path, name: str, make: Callable[[Path], object]) -> Path:
    folder, complete = place / name, place / f"{name}.complete"
    with FileLock(place / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder
