"""Label maps edited by rule: a region grows, shrinks, or goes, and what is beside it takes its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.config.palette import IGNORED

Labels = NDArray[np.uint8]
Region = NDArray[np.bool_]


def grown(labels: Labels, region: Region, growth: float) -> Labels:
    """A region takes what is near to it; a pixel taken has the class of the region's nearest one.

    Args:
        labels: uint8 `[H, W]`.
        region: bool `[H, W]`; some pixel is in it.
        growth: how far it grows, as a share of the map's height.
    """
    distance, nearest = ndimage.distance_transform_edt(~region, return_indices=True)
    taken = (distance <= growth * len(labels)) & (labels != IGNORED)
    return np.where(taken, labels[tuple(nearest)], labels)


def shrunk(labels: Labels, region: Region, growth: float) -> Labels:
    """What is beside a region takes its rim: a pixel taken has the class of the nearest one outside."""
    if region.all():
        return labels
    distance, nearest = ndimage.distance_transform_edt(region, return_indices=True)
    taken = region & (distance <= growth * len(labels))
    return np.where(taken, labels[tuple(nearest)], labels)


def removed(labels: Labels, region: Region) -> Labels:
    """A region's pixels take the class of the nearest pixel outside of it."""
    return shrunk(labels, region, np.inf)
