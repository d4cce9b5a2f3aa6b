"""What `make triton` says when something that it needs is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

SERVER = Path(__file__).parents[1] / "triton" / "server.py"


@pytest.fixture
def server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("triton_server", SERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_python_without_its_shared_library_is_told_what_to_install(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(server, "SYSTEM_LIBRARIES", ())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(SystemExit, match=rf"libpython{version}\.so.*apt-get install libpython{version}"):
        server._libpython()


def test_an_environment_without_the_server_is_told_what_makes_it(
    server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="run `make triton`"):
        server._package()


def test_a_repository_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [sys.executable, SERVER, "--model-repository=/nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--model-repository: /nowhere is not a directory" in done.stderr
