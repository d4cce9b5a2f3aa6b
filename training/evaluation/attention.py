"""Where cells of a result came from: the rearranger's attention over the source, as a contact sheet.

`python -m training.evaluation.attention PACK FILE` draws it for a trained pack of SIS-UG. Sources and the
samples that give the target proxy masks are the generator's own, by seed, so that no data is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from training.config.packs import pack_folder
from training.data.contact_sheets import contact_sheet
from training.data.samples import latents_of, to_uint8
from training.networks.one_hot import one_hot
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.networks.rearranger import CrossAttention
from training.sis_ug.pipeline import Source, SynthesisPipeline, load_pipeline

FIRST_GIVER = 100
"""Seed of the first sample that gives its proxy mask; sources begin at 0."""
SCALE = 2
"""Pixels of the sheet for each of an image, so that a mark is finer than its cell."""
DIMMED = 0.3
"""Of a source's brightness where nothing came from."""
QUALITY = 88
MARK = (255, 64, 64)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one cell of a result came from.

    Attributes:
        cell: row and column, at the finest attended resolution.
        shares: by attended resolution, float `[r, r]`: how much came from each cell of the source; sums to 1.
    """

    cell: tuple[int, int]
    shares: dict[int, Tensor]


@torch.inference_mode()
def origins(
    pipeline: SynthesisPipeline, source: Source, target: Tensor, cells: list[tuple[int, int]]
) -> list[Origin]:
    """Where a cell of each result came from.

    Args:
        pipeline: of a trained pack.
        source: of B results.
        target: proxy masks, int64 `[B, m, m]`.
        cells: of each result, row and column at the finest attended resolution.
    """
    arranger, clusters = pipeline.rearranger, pipeline.clusters
    offered = arranger.embed_source(one_hot(source.mask, clusters))
    asked = arranger.embed_target(one_hot(target, clusters))
    finest = max(pipeline.attended)
    found: list[dict[int, Tensor]] = [{} for _ in cells]
    for r in pipeline.attended:
        attention = arranger.attention[str(r)]
        assert isinstance(attention, CrossAttention)
        keys = attention.keys(arranger.answering(source.pyramid, offered, r))
        shares = attention.shares(attention.queries(asked[r]), keys)
        for index, (row, column) in enumerate(cells):
            here = row * r // finest * r + column * r // finest
            found[index][r] = shares[index, here].reshape(r, r)
    return [Origin(cell, shares) for cell, shares in zip(cells, found, strict=True)]


def attention_sheet(config: PackConfig, pipeline: SynthesisPipeline) -> Image.Image:
    """Columns: a class each. Rows: source, mask giver, result with a cell marked, and the cell's origins.

    Raises:
        ValueError: if the pack has no label segmenter, which finds the cells of a class.
    """
    if pipeline.label_reader is None:
        raise ValueError(
            f"pack {config.pack.name!r} has no label segmenter: `maskweave train mapper` makes it"
        )
    classes, generator = len(config.palette), pipeline.generator
    latents = [
        latents_of(range(first, first + classes), generator.latent_dim, config.latent.scale)
        for first in (0, FIRST_GIVER)
    ]
    with torch.inference_mode():
        source, giver = (pipeline.head(some) for some in latents)
        result = pipeline.shape(source, giver.mask)
        labels = pipeline.read_labels(result)
    cells = [likeliest_cell(labels[index] == index, max(pipeline.attended)) for index in range(classes)]
    found = origins(pipeline, source, giver.mask, cells)
    plain = [_enlarged(to_uint8(images)) for images in (source.images, giver.images, result)]
    marked = np.stack([_marked(one, each, pipeline) for one, each in zip(plain[2], found, strict=True)])
    origin_rows = [
        np.stack([_lit(one, each.shares[r]) for one, each in zip(plain[0], found, strict=True)])
        for r in pipeline.attended
    ]
    return contact_sheet([plain[0], plain[1], marked, *origin_rows])


def likeliest_cell(region: Tensor, resolution: int) -> tuple[int, int]:
    """Row and column of the cell with the largest share of a region, bool `[H, W]`.

    Of equal ones that which has most of the region around it.
    """
    share = F.adaptive_avg_pool2d(region[None, None].float(), resolution)
    around = F.avg_pool2d(share, 5, 1, 2)
    best = int((share + 0.1 * around).flatten().argmax())
    return best // resolution, best % resolution


def _enlarged(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.repeat(SCALE, 1).repeat(SCALE, 2)


def _marked(image: NDArray[np.uint8], origin: Origin, pipeline: SynthesisPipeline) -> NDArray[np.uint8]:
    """An image, uint8 `[H, W, 3]`, with a frame around a cell."""
    shown = Image.fromarray(image)
    side = shown.width // max(pipeline.attended)
    top, left = origin.cell[0] * side, origin.cell[1] * side
    ImageDraw.Draw(shown).rectangle((left - 1, top - 1, left + side, top + side), outline=MARK, width=2)
    return np.asarray(shown)


def _lit(image: NDArray[np.uint8], shares: Tensor) -> NDArray[np.uint8]:
    """An image, uint8 `[H, W, 3]`, as bright as the shares `[r, r]` of its cells; the largest is 1."""
    light = shares / shares.max()
    full = F.interpolate(light[None, None], size=image.shape[:2], mode="nearest")[0, 0, :, :, None].numpy()
    lit: NDArray[np.uint8] = (image * (DIMMED + (1 - DIMMED) * full)).round().astype(np.uint8)
    return lit


@click.command()
@click.argument("pack")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def main(pack: str, file: Path) -> None:
    """Draw where cells of PACK's results came from into FILE."""
    config = load_config(pack)
    sheet = attention_sheet(config, load_pipeline(config, pack_folder(pack)))
    sheet.save(file, quality=QUALITY)
    names = ", ".join(config.palette.names)
    click.echo(f"{file}: a column for each of {names}; rows: source, mask giver, result, origins")


if __name__ == "__main__":
    main()
