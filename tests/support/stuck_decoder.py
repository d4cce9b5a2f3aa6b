"""A decoder that does not come back: what a defect of an image library would be, in a real gateway.

A module that Python imports by itself at its start (`sitecustomize`) makes Pillow go into C code and stay
there, without holding the interpreter, for files of one size. Nothing can interrupt such a thread.
"""

from __future__ import annotations

import os
from pathlib import Path

WIDTH, HEIGHT = 13, 17
"""The size of the files with which it gets stuck."""

_PROGRAM = f"""
import ctypes
from PIL import Image, ImageFile

def stuck(decode):
    def decoded(self, *args, **kwargs):
        if self.size == ({WIDTH}, {HEIGHT}):
            ctypes.CDLL(None).sleep(3600)
        return decode(self, *args, **kwargs)
    return decoded

ImageFile.ImageFile.load = stuck(ImageFile.ImageFile.load)
Image.Image.frombytes = stuck(Image.Image.frombytes)
"""


def stuck_decoder(directory: Path) -> dict[str, str]:
    """The environment of a gateway that has it.

    Args:
        directory: An empty one, for the module.
    """
    (directory / "sitecustomize.py").write_text(_PROGRAM)
    rest = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{directory}{os.pathsep}{rest}" if rest else str(directory)}
