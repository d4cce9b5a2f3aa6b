"""Drawings made by hand, kept as lines: no label map ever looked like them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.conditions.readers import FULL_INK, NOT_DRAWN
from training.config.palette import Palette

FILE = Path(__file__).with_name("drawn_by_hand.toml")
CANVAS = 64
"""Pixels per side of the canvas that the lines were drawn on."""
SUPERSAMPLING = 4
"""A sketch's lines are drawn at this many times the size and averaged: anti-aliased ink."""


def fits(palette: Palette) -> bool:
    """Whether the palette has every class that the drawings are of."""
    named = {stroke["class"] for one in _drawings("scribbles") for stroke in one["strokes"]}
    return named <= set(palette.names)


def hand_scribbles(palette: Palette, side: int = CANVAS) -> NDArray[np.uint8]:
    """Scribbles, class ids and `NOT_DRAWN`, uint8 `[N, side, side]`.

    Raises:
        ValueError: if the palette lacks a class that they name.
    """
    drawings = []
    for one in _drawings("scribbles"):
        canvas = Image.new("L", (side, side), NOT_DRAWN)
        for stroke in one["strokes"]:
            _line(canvas, stroke, palette.names.index(stroke["class"]), side / CANVAS)
        drawings.append(np.asarray(canvas))
    return np.stack(drawings)


def hand_sketches(side: int = CANVAS) -> NDArray[np.uint8]:
    """Sketches, ink from 0 to 255, uint8 `[N, side, side]`."""
    drawings = []
    for one in _drawings("sketches"):
        canvas = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
        for stroke in one["strokes"]:
            _line(canvas, stroke, FULL_INK, side * SUPERSAMPLING / CANVAS)
        drawings.append(np.asarray(canvas.resize((side, side), Image.Resampling.BOX)))
    return np.stack(drawings)


def _drawings(kind: str) -> list[dict[str, Any]]:
    drawings: list[dict[str, Any]] = tomllib.loads(FILE.read_text())[kind]
    return drawings


def _line(canvas: Image.Image, stroke: dict[str, Any], value: int, scale: float) -> None:
    points = [(x * scale, y * scale) for x, y in stroke["points"]]
    width = max(1, round(stroke["width"] * scale))
    ImageDraw.Draw(canvas).line(points, fill=value, width=width, joint="curve")
