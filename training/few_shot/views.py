"""What a sample shows of itself besides its picture: the generator's features, and the clusters in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.clustering import ProxyClusters
from training.generators.base import Generator
from training.unet import UNet


@dataclass(frozen=True, slots=True)
class Views:
    """Of a batch of samples.

    Attributes:
        cells: the generator's features in the directions that were clustered, float `[B, P, m, m]`.
        proxies: the share of each cluster that the proxy segmenter reads, float `[B, K, m, m]`.
        pictures: float `[B, 3, H, W]` in [-1, 1].
    """

    cells: Tensor
    proxies: Tensor
    pictures: Tensor

    def of(self, chosen: Tensor) -> Views:
        """Some of the samples, by index."""
        return Views(self.cells[chosen], self.proxies[chosen], self.pictures[chosen])


class Viewer:
    """Views of latents.

    Args:
        generator: frozen.
        clusters: of its features.
        segmenter: the proxy segmenter.
    """

    def __init__(self, generator: Generator, clusters: ProxyClusters, segmenter: UNet) -> None:
        self.generator, self.clusters, self.segmenter = generator, clusters, segmenter

    def __call__(self, latents: Tensor) -> Views:
        """Views of latents `[B, latent_dim]`; differentiable."""
        pyramid, pictures = self.generator.sample(latents)
        features = self.generator.without_skip(pyramid)
        cells = self.clusters.cells({r: layer.float() for r, layer in features.items()})
        return Views(cells, self.segmenter(pictures).float().softmax(1), pictures.float())


def views_of(viewer: Viewer, latents: Tensor, chunk: int) -> Views:
    """Views of any number of latents, without gradients."""
    with torch.no_grad():
        parts = [viewer(some) for some in latents.split(chunk)]
    cells, proxies, pictures = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("cells", "proxies", "pictures")
    )
    return Views(cells, proxies, pictures)
