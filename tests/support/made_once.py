"""Files that are dear to make, made once in a run of the tests for all of its workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


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
    folder, complete = run / f"once-{name}", run / f"once-{name}.complete"
    with FileLock(run / f"once-{name}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder
