"""Arrays for the small models of `model_repository`."""

from __future__ import annotations

import numpy as np

from service.engine.base import Array


def row(value: float, batch: int = 1) -> Array:
    """FP32 [batch, 4], all of one value."""
    return np.full((batch, 4), value, np.float32)
