"""How faithfully images come back: through the inverter, and the generator's tail or the rearranger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.samples import in_chunks
from training.generators.base import FeaturePyramid
from training.sis_ug.pipeline import SynthesisPipeline

CHUNK = 50


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Mean peak signal-to-noise ratios of images that came back, in decibels.

    Attributes:
        images: how many.
        tail: of the inverter's features at the finest attended resolution through the generator's tail.
        rearranged: through the rearranger, from their own proxy mask to the same: where edits begin.
    """

    images: int
    tail: float
    rearranged: float


def reconstruction(pipeline: SynthesisPipeline, images: NDArray[np.uint8]) -> Reconstruction:
    """Invert images, uint8 `[N, H, W, 3]`, and compare what comes back."""
    tail, rearranged = [], []
    with torch.inference_mode():
        for chunk in in_chunks(images, CHUNK):
            pyramid = pipeline.invert(chunk)
            tail.append(decibels(through_tail(pipeline, pyramid), chunk))
            rearranged.append(decibels(through_rearranger(pipeline, pyramid, pipeline.segment(chunk)), chunk))
    return Reconstruction(len(images), float(torch.cat(tail).mean()), float(torch.cat(rearranged).mean()))


def through_tail(pipeline: SynthesisPipeline, pyramid: FeaturePyramid) -> Tensor:
    """Images `[B, 3, H, W]` in [-1, 1] of the finest of the attended features."""
    finest = pipeline.attended[-1]
    return pipeline.generator.tail(pyramid[finest], finest)


def through_rearranger(pipeline: SynthesisPipeline, pyramid: FeaturePyramid, mask: Tensor) -> Tensor:
    """Images `[B, 3, H, W]` in [-1, 1] of features rearranged from a proxy mask `[B, m, m]` to the same."""
    return pipeline.tail(pipeline.rearrange(pyramid, mask, mask))


def decibels(found: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each of the images `[B, 3, H, W]` in [-1, 1]: `[B]`."""
    error = ((found.clamp(-1, 1) - wanted) / 2).square().mean((1, 2, 3)).clamp(min=1e-10)
    return -10 * error.log10()


def as_markdown(rows: Mapping[str, Reconstruction]) -> str:
    """Reconstructions by name as a Markdown table."""
    lines = ["| PSNR (dB) | images | through the tail | through the rearranger |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {row.images} | {row.tail:.1f} | {row.rearranged:.1f} |" for name, row in rows.items()
    ]
    return "\n".join(lines)
