"""Conditions and images to ask with, drawn here so that a benchmark needs no files. Deterministic."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Ids = NDArray[np.uint8]
"""An id for each pixel, `[H, W]`."""

UNDRAWN = 255

# The classes of a face from the outside in, where each ellipse lies: centre and radii as shares of the sides.
_FACE: tuple[tuple[str, tuple[tuple[float, float, float, float], ...]], ...] = (
    ("neck", ((0.5, 1.0, 0.36, 0.28),)),
    ("hair", ((0.5, 0.45, 0.36, 0.42),)),
    ("skin", ((0.5, 0.52, 0.27, 0.36),)),
    ("brows", ((0.39, 0.41, 0.08, 0.02), (0.61, 0.41, 0.08, 0.02))),
    ("eyes", ((0.39, 0.47, 0.06, 0.03), (0.61, 0.47, 0.06, 0.03))),
    ("nose", ((0.5, 0.57, 0.05, 0.09),)),
    ("mouth", ((0.5, 0.72, 0.11, 0.04),)),
)


def label_map(
    random: np.random.Generator, classes: dict[str, int], width: int, height: int, *, detail: float
) -> Ids:
    """A layout: of a face where the classes are a face's, and of cells about random places for others.

    Args:
        random: Decides what exactly it looks like.
        classes: Id by name.
        width: In pixels.
        height: In pixels.
        detail: From 0 for smooth to 1 for ragged edges.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    # Moved to and fro by a smooth and by a rough field, edges are as smooth or as ragged as is wished.
    rough = detail * 0.06 * random.standard_normal((2, height, width)).astype(np.float32)
    u = (x + 0.5) / width + 0.02 * np.sin(y / height * random.uniform(4, 9) + random.uniform(0, 6)) + rough[0]
    v = (y + 0.5) / height + 0.02 * np.sin(x / width * random.uniform(4, 9) + random.uniform(0, 6)) + rough[1]
    known = [(name, spots) for name, spots in _FACE if name in classes]
    if len(known) < 3:
        return _cells(random, sorted(classes.values()), u, v)
    ids = np.full((height, width), classes.get("background", min(classes.values())), np.uint8)
    dx, dy = random.normal(0, 0.02, 2)
    for name, spots in known:
        scale = random.uniform(0.9, 1.1)
        for cx, cy, rx, ry in spots:
            # At least a pixel in radius: no class is lost however small the map is.
            wide, high = max(rx * scale, 0.8 / width), max(ry * scale, 0.8 / height)
            ids[((u - cx - dx) / wide) ** 2 + ((v - cy - dy) / high) ** 2 <= 1] = classes[name]
    return ids


def sketch(ids: Ids) -> NDArray[np.uint8]:
    """Lines where ids meet, black on white, `[H, W]`."""
    grey = np.full(ids.shape, 255, np.uint8)
    grey[:, 1:][ids[:, 1:] != ids[:, :-1]] = 0
    grey[1:, :][ids[1:, :] != ids[:-1, :]] = 0
    if grey.min() == 255:
        grey[ids.shape[0] // 2] = 0
    return grey


def scribble(random: np.random.Generator, ids: Ids) -> Ids:
    """A tenth of a label map, in bands, and `UNDRAWN` for the rest."""
    drawn = np.full(ids.shape, UNDRAWN, np.uint8)
    every, offset = max(2, ids.shape[0] // 12), int(random.integers(2))
    for row in range(offset, ids.shape[0], every):
        thick = max(1, every // 8)
        drawn[row : row + thick] = ids[row : row + thick]
    return drawn


def proxy_mask(random: np.random.Generator, clusters: int, width: int, height: int) -> Ids:
    """Cells of cluster ids."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return _cells(random, list(range(clusters)), (x + 0.5) / width, (y + 0.5) / height)


def image(ids: Ids, colors: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """A label map in its classes' colours, shaded, `[H, W, 3]`: something with an image's structure."""
    table = np.zeros((256, 3), np.float32)
    for class_id, color in colors.items():
        table[class_id] = color
    y, x = np.mgrid[0 : ids.shape[0], 0 : ids.shape[1]].astype(np.float32)
    light = 0.75 + 0.25 * (1 - x / ids.shape[1]) * (1 - 0.5 * y / ids.shape[0])
    shaded: NDArray[np.uint8] = np.clip(table[ids] * light[..., None], 0, 255).astype(np.uint8)
    return shaded


def encode(pixels: NDArray[np.uint8], form: Literal["PNG", "JPEG"] = "PNG") -> bytes:
    """The file of a grey or RGB image."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def encode_ids(ids: Ids, colors: dict[int, tuple[int, int, int]]) -> bytes:
    """A palette PNG whose indices are the ids, as drawing tools save them."""
    flat = [channel for number in range(256) for channel in colors.get(number, (0, 0, 0))]
    painted = Image.fromarray(ids)
    painted.putpalette(flat)
    file = io.BytesIO()
    painted.save(file, "PNG")
    return file.getvalue()


def runs(ids: Ids) -> tuple[list[int], list[int]]:
    """Ids and lengths of the runs of equal pixels, row by row."""
    flat = ids.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    return flat[starts].tolist(), lengths.tolist()


def _cells(
    random: np.random.Generator, ids: list[int], u: NDArray[np.float32], v: NDArray[np.float32]
) -> Ids:
    places = random.uniform(0, 1, (max(len(ids), 6), 2))
    nearest = np.full(u.shape, np.inf, np.float32)
    found = np.zeros(u.shape, np.uint8)
    for number, (px, py) in enumerate(places):
        distance = (u - px) ** 2 + (v - py) ** 2
        closer = distance < nearest
        nearest[closer] = distance[closer]
        found[closer] = ids[number % len(ids)]
    return found
