"""What the examples of styles share: their options, the sheet that they write, and images to begin with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from maskweave_client import Client, Model

LABEL_MAPS = Path(__file__).parent / "label_maps"
TILE, GAP, HEADER = 192, 8, 28  # pixels of the sheet
ROW_TITLE, PAGE_HEADER = 150, 40
INK, PAPER = "#202020", "#ffffff"

Columns = list[tuple[str, Image.Image]]
"""Images with their titles."""


def options(description: str | None, output: str, model: str = "faces64_styles") -> argparse.Namespace:
    """The options of an example."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default=os.environ.get("MASKWEAVE_ADDRESS", "localhost:50051"))
    parser.add_argument("--model", default=model, help="a model with styles")
    parser.add_argument("--label-map", type=Path, default=LABEL_MAPS / "heldout_wide_smile.png")
    parser.add_argument("--other-label-map", type=Path, default=LABEL_MAPS / "heldout_fringe.png")
    parser.add_argument("--class-name", default="hair", help="name of the class that is changed")
    parser.add_argument("--output", type=Path, default=Path(output))
    return parser.parse_args()


def model_with_styles(client: Client, name: str) -> Model:
    """The model of a name.

    Raises:
        SystemExit: There is none of that name with styles.
    """
    for model in client.models():
        if model.styles is not None and name == model.name:
            return model
    raise SystemExit("the service offers no such model with styles")


def class_of(model: Model, name: str) -> int:
    """The id of a class by its name."""
    return {entry.name: entry.id for entry in model.palette}[name]


def read_label_map(path: Path, model: Model) -> NDArray[np.uint8]:
    """A label map of the model's size, as encoding needs it."""
    with Image.open(path) as image:
        size = (model.image_width, model.image_height)
        return np.asarray(image.resize(size, Image.Resampling.NEAREST), np.uint8)


def sheet(columns: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Images beside each other, each under its title."""
    page = Image.new("RGB", (GAP + len(columns) * (TILE + GAP), HEADER + TILE + GAP), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for column, (title, image) in enumerate(columns):
        left = GAP + column * (TILE + GAP)
        draw.text((left + TILE // 2, HEADER - 8), title, INK, font, anchor="ms")
        resampling = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.BICUBIC
        page.paste(image.resize((TILE, TILE), resampling).convert("RGB"), (left, HEADER))
    return page


def rows_sheet(title: str, rows: Sequence[tuple[str, Columns]]) -> Image.Image:
    """Sheets below each other, each beside its title."""
    sheets = [(name, sheet(columns)) for name, columns in rows]
    width = ROW_TITLE + max(made.width for _, made in sheets)
    page = Image.new("RGB", (width, PAGE_HEADER + sum(made.height for _, made in sheets)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, GAP), title, INK, ImageFont.load_default(22))
    top = PAGE_HEADER
    for name, made in sheets:
        middle = (GAP, top + HEADER + TILE // 2)
        draw.multiline_text(middle, name, INK, ImageFont.load_default(16), anchor="lm")
        page.paste(made, (ROW_TITLE, top))
        top += made.height
    return page
