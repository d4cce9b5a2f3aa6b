"""The code that the playground gives, run as people would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from tests.support.browser import Playground
from tests.support.gateway_process import PATIENCE_SECONDS

BEGINS = {"Python": "import base64", "TypeScript": "import {", "curl": "curl", "grpcurl": "grpcurl"}
"""Every language that there is code in, and how it begins."""

_FILES = {"Python": "face.py", "TypeScript": "face.mjs", "curl": "face.sh", "grpcurl": "face.sh"}
_PROGRAMS = {"Python": sys.executable, "TypeScript": "node", "curl": "bash", "grpcurl": "bash"}


def code_in(tab: Playground, language: str) -> str:
    """What the dialog has, which is open."""
    tab.page.get_by_role("radio", name=language, exact=True).click()
    shown = tab.page.get_by_test_id("code")
    expect(shown).to_have_text(re.compile(f"^{re.escape(BEGINS[language])}"))
    return shown.inner_text()


def image_of(code: str, language: str, project: Path, **variables: str) -> NDArray[np.int16]:
    """The image that the code writes, int16 [height, width, 3].

    Args:
        code: As it was copied.
        language: What it is in.
        project: A folder in which the client for TypeScript is installed.
        variables: Environment variables besides.
    """
    (project / "face.png").unlink(missing_ok=True)
    (project / _FILES[language]).write_text(code)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [_PROGRAMS[language], _FILES[language]],
        cwd=project,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "no_proxy": "*",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with Image.open(project / "face.png") as image:
        return np.asarray(image.convert("RGB")).astype(np.int16)
