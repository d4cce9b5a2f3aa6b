import builtins
import codecs
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands where hostile files want to write; also, nothing may be run by any usual way."""
    monkeypatch.chdir(tmp_path)
    codecs.lookup("cp437")  # of names in archives: Python imports it when it is first asked for

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("code of a checkpoint was run")

    for owner, name in ((os, "system"), (builtins, "exec"), (builtins, "eval"), (subprocess, "Popen")):
        monkeypatch.setattr(owner, name, forbidden)
    return tmp_path / "canary"
