"""What a pack makes of every kind of condition but label maps: drawings and exemplars of held-out samples.

Sketches are drawn from the image (difference of Gaussians) and from the label map (outlines); scribbles are
cut from the label map by a careful hand (every class drawn, nothing outside its region) and a sloppy one
(half as much, over the edges, some classes left out). Hand-drawn ones, which have no label map, are for
looking at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.conditions.drawn_by_hand import hand_scribbles, hand_sketches
from training.conditions.readers import NOT_DRAWN
from training.conditions.scribbles import CAREFUL, SLOPPY, scribbles
from training.conditions.sketches import as_sketches, fine_sketches
from training.data.contact_sheets import contact_sheet, paint_labels, paint_scribbles, paint_sketches
from training.data.samples import chunk_size, from_uint8, in_chunks, to_uint8
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import SynthesisPipeline

CHUNK = 50
"""Of 64 px images; fewer of larger ones."""
SHEET_COLUMNS = 12
HAND_STYLES = 6

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Asked:
    """Conditions of one kind, one for each pair.

    Attributes:
        name: what they are.
        painted: how they look, uint8 `[N, H, W, 3]`.
        labels: what they are read as, uint8 `[N, H, W]`; None for exemplars, which go without label maps.
    """

    name: str
    painted: Images
    labels: NDArray[np.uint8] | None


def held_out_conditions(
    config: PackConfig,
    pipeline: SynthesisPipeline,
    labels: NDArray[np.uint8],
    givers: Images,
    seed: int = 0,
) -> list[Asked]:
    """All that the pack is trained for, of samples' label maps `[N, H, W]` and images."""
    palette, found = config.palette, list[Asked]()
    if pipeline.reader is not None:
        maps = torch.from_numpy(labels).split(chunk_size(labels.shape[-1], CHUNK))
        both = [fine_sketches(some, own) for some, own in zip(in_chunks(givers, CHUNK), maps, strict=True)]
        lines, outlined = (torch.cat([as_sketches(ink) for ink in kind]) for kind in zip(*both, strict=True))
        for name, drawn in (("sketch, lines of the image", lines), ("sketch, outlines", outlined)):
            read = _chunked(pipeline.read_sketches, drawn)
            found.append(Asked(name, paint_sketches(drawn), read))
    if pipeline.completer is not None:
        for hand in (CAREFUL, SLOPPY):
            cut = scribbles(labels, hand, np.random.default_rng(seed))
            share = round(100 * float((cut != NOT_DRAWN).mean()))
            name = f"scribble, {'careful' if hand is CAREFUL else 'sloppy'}, {share} % drawn"
            read = _chunked(pipeline.complete, torch.from_numpy(cut))
            found.append(Asked(name, paint_scribbles(cut, palette), read))
    found.append(Asked("exemplar", givers, None))
    return found


@torch.inference_mode()
def images_for(pipeline: SynthesisPipeline, asked: Asked, latents: Tensor, strength: float) -> Images:
    """Images of conditions in the styles of latents `[N, latent_dim]`."""
    parts = []
    chunk = chunk_size(pipeline.generator.image_size, CHUNK)
    for start in range(0, len(latents), chunk):
        part = slice(start, start + chunk)
        source = pipeline.head(latents[part])
        if asked.labels is None:
            target = pipeline.segment(from_uint8(asked.painted[part]))
        else:
            strengths = torch.full((len(source.mask), 1), strength)
            target = pipeline.map_labels(torch.from_numpy(asked.labels[part]), source.histogram, strengths)
        parts.append(to_uint8(pipeline.shape(source, target)))
    return np.concatenate(parts)


def conditions_sheet(
    config: PackConfig, conditions: list[Asked], made: list[Images], styles: Images
) -> Image.Image:
    """Styles; then for each kind the conditions, the label maps they are read as, and the results."""
    columns = slice(0, SHEET_COLUMNS)
    rows: list[Tensor | Images] = [from_uint8(styles[columns])]
    for asked, images in zip(conditions, made, strict=True):
        painted = asked.painted[columns]
        rows.append(from_uint8(painted) if asked.labels is None else painted)
        if asked.labels is not None:
            rows.append(paint_labels(asked.labels[columns], config.palette))
        rows.append(from_uint8(images[columns]))
    return contact_sheet(rows)


def by_hand_sheet(
    config: PackConfig, pipeline: SynthesisPipeline, latents: Tensor, strength: float
) -> Image.Image:
    """A row for each drawing made by hand: the drawing, what it is read as, and results in several styles."""
    palette, rows = config.palette, list[Images]()
    styles = latents[:HAND_STYLES]
    read: list[tuple[Images, NDArray[np.uint8]]] = []
    if pipeline.completer is not None:
        drawn = hand_scribbles(palette, pipeline.generator.image_size)
        read += zip(paint_scribbles(drawn, palette), _read(pipeline.complete, drawn), strict=True)
    if pipeline.reader is not None:
        drawn = hand_sketches(pipeline.generator.image_size)
        read += zip(paint_sketches(drawn), _read(pipeline.read_sketches, drawn), strict=True)
    for painted, labels in read:
        asked = Asked("", painted[None], np.repeat(labels[None], len(styles), 0))
        images = images_for(pipeline, asked, styles, strength)
        rows.append(np.concatenate([painted[None], paint_labels(labels[None], palette), images]))
    return contact_sheet([from_uint8(row) for row in rows])


@torch.inference_mode()
def _chunked(read: Callable[[Tensor], Tensor], drawn: Tensor) -> NDArray[np.uint8]:
    """What drawings `[N, H, W]` are read as, uint8 `[N, H, W]`."""
    parts = [read(some) for some in drawn.split(chunk_size(drawn.shape[-1], CHUNK))]
    return torch.cat(parts).to(torch.uint8).numpy()


def _read(read: Callable[[Tensor], Tensor], drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _chunked(read, torch.from_numpy(drawn))
