"""Edits of images offline, from features that are there already; blended as the gateway blends its own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from training.data.samples import to_uint8
from training.generators.base import FeaturePyramid
from training.sis_ug.networks.mapper import proxy_histogram
from training.sis_ug.pipeline import Source, SynthesisPipeline

BLEND_WIDTH = 4.0
"""In pixels; the gateway's own default."""


@torch.no_grad()
def edit(
    pipeline: SynthesisPipeline,
    image: Tensor,
    pyramid: FeaturePyramid,
    target: NDArray[np.uint8],
    source: NDArray[np.uint8] | None,
    strength: float,
) -> NDArray[np.uint8]:
    """Give an image the shape of a label map.

    Args:
        pipeline: a pack with an inverter.
        image: float `[1, 3, H, W]` in [-1, 1].
        pyramid: its features at the attended resolutions.
        target: class ids that are wished for, `[H, W]`.
        source: class ids of what is there; None if all is made anew.
        strength: the style strength.

    Returns:
        RGB, uint8 `[H, W, 3]`: with a source label map the original, but where the two differ and around.
    """
    mask = pipeline.segment(image)
    there = Source(pyramid, mask, proxy_histogram(mask, pipeline.clusters), image)
    wanted = pipeline.map_labels(
        torch.from_numpy(target)[None], there.histogram, torch.full((1, 1), strength)
    )
    made = to_uint8(pipeline.shape(there, wanted))[0]
    return made if source is None else blended(to_uint8(image)[0], made, source != target)


def blended(
    original: NDArray[np.uint8], edited: NDArray[np.uint8], changed: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The edited image `[H, W, 3]` where something changed, faded out to the original around, as served."""
    if not changed.any():
        return original
    distance = distance_transform_edt(~changed)
    fading = 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, BLEND_WIDTH) / BLEND_WIDTH)
    mixed = original + fading[..., np.newaxis] * (edited.astype(np.float64) - original)
    pixels: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return pixels
