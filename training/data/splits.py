"""Making a split: samples are drawn and labelled part by part, in bounded memory; a stopped run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import LabellerError, SampledPack, run_labeller, split_path
from training.data.parts import Part, pack, part_path, part_seeds, read_part, write_part
from training.data.samples import images_of, latents_of
from training.generators.base import Generator

PROBED = 8
"""Images that the labeller is tried on before thousands."""
PROBE = "probe.png"

Labelled = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Label maps `[N, H, W]`, and whether anything was found, `[N]`."""


def make_split(
    config: SampledPack,
    generator: Generator,
    split: str,
    python: Path | None = None,
    *,
    fresh: bool = False,
    show_progress: bool = False,
) -> Path:
    """Draw and label one split's samples; parts that are there are kept.

    Args:
        config: of the pack.
        generator: its own, on the device that is to draw.
        split: which.
        python: as for `run_labeller`.
        fresh: make all parts anew.
        show_progress: draw a progress bar, with the time left.

    Returns:
        The split's folder.

    Raises:
        LabellerError: as `run_labeller`, or if the labeller finds nothing in the first images.
    """
    labeller = config.data.labeller
    if labeller is None:
        raise LabellerError(
            "data.labeller: the configuration names none; label a handful by hand instead "
            f"(`maskweave few-shot choose {config.pack.name}`)"
        )

    def images(seeds: range) -> NDArray[np.uint8]:
        return images_of(generator, latents_of(seeds, generator.latent_dim, config.latent.scale))

    def label(seeds: range) -> Labelled:
        return run_labeller(labeller, images(seeds), python, len(config.palette))

    def probe(seeds: range) -> None:
        some = images(seeds[:PROBED])
        labels, detected = run_labeller(labeller, some, python, len(config.palette))
        path = split_path(config, split).parent / PROBE
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet([some, paint_labels(labels, config.palette)]).save(path)
        if not detected.any():
            raise LabellerError(
                f"the labeller {labeller} finds nothing in the first {len(some)} images; look at {path}"
            )

    made_by = f"{labeller}, {config.pack.generator}, latents x {config.latent.scale:g}"
    return write_split(
        config, split, generator.image_size, made_by, label, probe, fresh=fresh, show_progress=show_progress
    )


def write_split(
    config: SampledPack,
    split: str,
    side: int,
    made_by: str,
    label: Callable[[range], Labelled],
    probe: Callable[[range], None] | None = None,
    *,
    fresh: bool = False,
    show_progress: bool = False,
) -> Path:
    """Label a split part by part, and keep each as it is done.

    Args:
        config: of the pack.
        split: which.
        side: pixels per side of an image.
        made_by: what label maps depend on, besides the seeds; parts made otherwise are made anew.
        label: label maps of some seeds' samples.
        probe: is called with the first part's seeds before anything else; its errors end the call.
        fresh: make all parts anew.
        show_progress: draw a progress bar.

    Returns:
        The split's folder.
    """
    folder, seeds = split_path(config, split), config.data.seeds(split)
    parts = part_seeds(seeds, side)
    missing = [
        (part_path(folder, index), part)
        for index, part in enumerate(parts)
        if fresh or not _is_made(part_path(folder, index), part, side, made_by)
    ]
    if missing and probe is not None:
        probe(missing[0][1])
    done = len(seeds) - sum(len(part) for _, part in missing)
    with tqdm(
        desc=split, unit="sample", total=len(seeds), initial=done, disable=not show_progress
    ) as progress:
        for path, part in missing:
            labels, detected = label(part)
            write_part(path, Part(made_by, np.array(part, np.int64), detected, pack(labels), side))
            progress.update(len(part))
    _leave_only(folder, len(parts))
    return folder


def _is_made(path: Path, seeds: range, side: int, made_by: str) -> bool:
    if not path.exists():
        return False
    try:
        part = read_part(path)
    except ValueError:
        return False
    return (part.made_by, part.side) == (made_by, side) and np.array_equal(part.seeds, seeds)


def _leave_only(folder: Path, count: int) -> None:
    """Remove parts that a longer split had, and what a killed run left half written."""
    kept = {part_path(folder, index) for index in range(count)}
    for path in folder.iterdir():
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
