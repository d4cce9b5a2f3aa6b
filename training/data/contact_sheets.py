"""Contact sheets: rows of images and painted masks as one PNG."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.conditions.readers import NOT_DRAWN
from training.config.palette import IGNORED, Palette
from training.data.samples import to_uint8

CELL = 96
SHEET_WIDTH = 4096
"""Pixels that a sheet of large images may have: beyond, they are shrunk, though never below their least."""


def contact_sheet(rows: Sequence[Tensor | NDArray[np.uint8]], least: int = CELL) -> Image.Image:
    """Put rows of images on one sheet, in the size and shape of the largest of them.

    Args:
        rows: each `[N, 3, H, W]` in [-1, 1] or uint8 `[N, H, W, 3]`; all of the same N.
        least: rows of pixels that an image has on the sheet at least; smaller ones are enlarged.
    """
    arrays = [to_uint8(row) if isinstance(row, Tensor) else row for row in rows]
    count = len(arrays[0])
    height, width = _cell([(array.shape[1], array.shape[2]) for array in arrays], count, least)
    sheet = Image.new("RGB", (count * width, len(arrays) * height))
    for y, row in enumerate(arrays):
        for x, image in enumerate(row):
            resample = Image.Resampling.BICUBIC if isinstance(rows[y], Tensor) else Image.Resampling.NEAREST
            shown = Image.fromarray(image).resize((width, height), resample)
            sheet.paste(shown, (x * width, y * height))
    return sheet


def _cell(sizes: Sequence[tuple[int, int]], count: int, least: int) -> tuple[int, int]:
    """Height and width of every image on a sheet of so many columns."""
    height, width = max(sizes)
    fits = SHEET_WIDTH // count * height // width
    shown = max(least, min(height, fits))
    return shown, shown * width // height


def paint_clusters(masks: Tensor) -> NDArray[np.uint8]:
    """Proxy masks `[N, m, m]` in colours that tell clusters apart: uint8 `[N, m, m, 3]`."""
    hues = [
        colorsys.hsv_to_rgb((0.618 * k) % 1, 0.45 + 0.5 * (k % 2), 0.95 - 0.35 * (k % 3 == 2))
        for k in range(256)
    ]
    colors = (np.array(hues) * 255).astype(np.uint8)
    painted: NDArray[np.uint8] = colors[masks.cpu().numpy()]
    return painted


def paint_labels(labels: Tensor | NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Label maps `[N, H, W]` in the palette's colours, black where IGNORED: uint8 `[N, H, W, 3]`."""
    ids = labels.cpu().numpy() if isinstance(labels, torch.Tensor) else labels
    colors = np.zeros((IGNORED + 1, 3), np.uint8)
    colors[: len(palette)] = palette.colors()
    painted: NDArray[np.uint8] = colors[ids]
    return painted


def paint_scribbles(scribbles: Tensor | NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Scribbles `[N, H, W]` in the palette's colours on white: uint8 `[N, H, W, 3]`."""
    ids = scribbles.cpu().numpy() if isinstance(scribbles, torch.Tensor) else scribbles
    painted = paint_labels(np.where(ids == NOT_DRAWN, 0, ids), palette)
    painted[ids == NOT_DRAWN] = 255
    return painted


def paint_sketches(sketches: Tensor | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sketches `[N, H, W]`, ink from 0 to 255, as black on white: uint8 `[N, H, W, 3]`."""
    ink = sketches.cpu().numpy() if isinstance(sketches, torch.Tensor) else sketches
    return np.repeat(255 - ink[..., None], 3, axis=3)
