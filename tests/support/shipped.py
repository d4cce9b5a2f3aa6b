"""The shipped repository and the sample label maps, for tests of what users get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave_client import GeneratedImage
from service.codecs.label_map import resize_nearest

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
LABEL_MAPS = sorted((ROOT / "client" / "examples" / "label_maps").glob("*.png"))
KINDS = ["label_map", "sketch", "scribble", "proxy_mask", "exemplar"]
"""The kinds of condition that `faces64` takes."""
SIDE = 64
# What different ways of batching may do to the rounding of a pixel.
MAX_LEVELS = 1
MAX_SHARE = 0.001


def stages_of(ensemble: str) -> list[str]:
    """The models that a shipped ensemble runs, in the order of its config."""
    config = (REPOSITORY / ensemble / "config.pbtxt").read_text()
    return re.findall(r'model_name: "(\w+)"', config)


def opened(file: Path) -> NDArray[np.uint8]:
    """A sample label map as it is."""
    with Image.open(file) as image:
        return np.asarray(image)


def samples(kind: str) -> list[Path]:
    """The samples of a kind of condition."""
    folders = {"sketch": "sketches", "scribble": "scribbles"}
    return sorted((ROOT / "client" / "examples" / folders.get(kind, f"{kind}s")).glob("*.png"))


def condition(kind: str, file: Path) -> dict[str, Any]:
    """A sample as the argument of `Client.synthesize`."""
    return {kind: file.read_bytes()}


def fitted(file: Path) -> NDArray[np.uint8]:
    """A sample label map at the size of the models' images."""
    return resize_nearest(opened(file), SIDE, SIDE)


def assert_same(ours: GeneratedImage, theirs: GeneratedImage) -> None:
    """Bit for bit, or nearly."""
    assert (ours.width, ours.height, ours.seed, ours.format) == (
        theirs.width,
        theirs.height,
        theirs.seed,
        theirs.format,
    )
    apart = np.abs(ours.to_numpy().astype(int) - theirs.to_numpy().astype(int))
    assert apart.max() <= MAX_LEVELS
    assert (apart > 0).mean() <= MAX_SHARE
