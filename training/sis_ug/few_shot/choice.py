"""Which samples to have labelled: those whose proxy masks stand for the rest."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.data.samples import chunk_size
from training.generators.base import Generator
from training.networks.one_hot import one_hot
from training.networks.unet import UNet
from training.runs.optimization import mixed_precision

CHUNK = 100
"""Of 64 px images; fewer of larger ones."""
COARSE = 8
"""Cells per side of the shares of clusters by which proxy masks are compared: details do not count."""


@torch.inference_mode()
def layouts(generator: Generator, segmenter: UNet, clusters: int, latents: Tensor) -> NDArray[np.float32]:
    """Where in the image the clusters lie: float32 `[N, K * COARSE**2]`, of latents `[N, latent_dim]`."""
    device = generator.device
    shares = []
    with mixed_precision(device):
        for chunk in latents.split(chunk_size(generator.image_size, CHUNK)):
            mask = segmenter(generator.images(chunk.to(device))).argmax(1)
            shares.append(F.adaptive_avg_pool2d(one_hot(mask, clusters), COARSE).flatten(1).float().cpu())
    return torch.cat(shares).numpy()


def medoids(points: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int64]:
    """Indices of the points nearest to the centres of `count` clusters of them, each once.

    Args:
        points: `[N, D]`.
        count: how many; the largest cluster's comes first.
        seed: of k-means.

    Raises:
        ValueError: if there are fewer points.
    """
    if count > len(points):
        raise ValueError(f"count: {count} asked for, of {len(points)} candidates")
    from sklearn.cluster import KMeans  # noqa: PLC0415 - as in `sis_ug.clustering`

    kmeans = KMeans(count, random_state=seed, n_init=4).fit(points)
    distances = kmeans.transform(points)
    by_size = np.argsort(-np.bincount(kmeans.labels_, minlength=count), kind="stable")
    chosen: list[int] = []
    for cluster in by_size:
        nearest = next(int(i) for i in distances[:, cluster].argsort() if int(i) not in chosen)
        chosen.append(nearest)
    return np.array(chosen, np.int64)
