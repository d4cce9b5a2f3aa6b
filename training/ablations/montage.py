"""What a table's variants look like: the same label map in the same styles, a row for each variant."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from training.ablations.run import Cell
from training.evaluation.sis_ug import SHEET_MASKS, SHEET_STYLES

SHEET = "sheet"
"""The contact sheet of an evaluation of SIS-UG: styles above, then a row for each label map."""
MASKS = (0, 2)
"""Label maps that are shown, by their rows on that sheet."""
SIDE = 80
"""Pixels of an image on the montage."""
QUALITY = 85


def montage(cells: Sequence[Cell]) -> Image.Image | None:
    """Two label maps in all styles: the styles, then those of each variant that is done, of the first seed.

    Returns:
        None where no variant has such a sheet, as of packs of GroupDNet.
    """
    first = min(cell.seed for cell in cells)
    done = [cell for cell in cells if cell.seed == first and cell.figures() is not None]
    files = [file for cell in done if (file := cell.folder / f"{SHEET}.png").exists()]
    if not files:
        return None
    columns, rows = SHEET_STYLES + 1, SHEET_MASKS + 1
    found = Image.new("RGB", (columns * SIDE, (1 + len(MASKS) * len(files)) * SIDE))
    for number, file in enumerate(files):
        with Image.open(file) as opened:
            sheet = opened.convert("RGB").resize((columns * SIDE, rows * SIDE), Image.Resampling.LANCZOS)
        if number == 0:
            found.paste(_row(sheet, 0), (0, 0))
        for place, mask in enumerate(MASKS):
            found.paste(_row(sheet, 1 + mask), (0, (1 + place * len(files) + number) * SIDE))
    return found


def _row(sheet: Image.Image, number: int) -> Image.Image:
    return sheet.crop((0, number * SIDE, sheet.width, (number + 1) * SIDE))
