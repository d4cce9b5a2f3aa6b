"""The targets whose bases cannot be had here: built on a stand-in, to see that what they copy is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.buildah import ROOT, Buildah

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def triton(buildah: Buildah, base: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files and the configuration of the target `triton`."""
    with buildah.built("triton", TRITON_IMAGE=base) as name, buildah.mounted(name) as root:
        yield root, buildah.configuration(name)


def test_triton_has_the_repository_and_the_entry_point(triton: tuple[Path, dict[str, Any]]) -> None:
    root, configuration = triton
    *_, entry_point = configuration["Entrypoint"]
    assert os.access(root / entry_point.lstrip("/"), os.X_OK)
    configs = {path.parent.name for path in (root / "models").glob("*/config.pbtxt")}
    assert configs == {path.parent.name for path in (ROOT / "model_repository").glob("*/config.pbtxt")}
    assert configuration["User"] == "1000:1000"
    assert not configuration["Cmd"]


def test_triton_checks_plans_with_nothing_but_python(triton: tuple[Path, dict[str, Any]]) -> None:
    root, _ = triton
    check = "python3 -m export.plans.check /models --compute-capability 9.0 --tensorrt-version 10.13.3"
    done = subprocess.run(
        ["chroot", root, "sh", "-c", f"cd /opt/maskweave && {check}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'Error: /models: no model has backend: "tensorrt"' in done.stderr
