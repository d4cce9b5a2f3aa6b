"""How many pixels become few: which of a row's pixels belong to which cell of a shorter row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_of_cells(size: int, cells: int) -> NDArray[np.intp]:
    """The first pixel of each cell, when `size` pixels are divided into `cells`, at most as many.

    Pixel i lies in cell floor(i * cells / size).
    """
    return -(-np.arange(cells) * size // cells)


def cell_of_pixels(size: int, cells: int) -> NDArray[np.intp]:
    """The cell of each pixel, by the same division."""
    return np.arange(size) * cells // size
