"""The sample label maps of the examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parent.parent
LABEL_MAPS = ROOT / "client" / "examples" / "label_maps"


def read_label_map(path: Path | None) -> NDArray[np.uint8]:
    """The class ids `[height, width]` of a palette PNG; without a path, of the first sample."""
    with Image.open(path or min(LABEL_MAPS.glob("*.png"))) as image:
        return np.asarray(image, np.uint8)
