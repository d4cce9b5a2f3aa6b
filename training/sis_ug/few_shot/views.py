"""What a sample shows of itself besides its image: the generator's features, and the clusters in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.generators.base import Generator
from training.networks.unet import UNet
from training.sis_ug.clustering import ProxyClusters


@dataclass(frozen=True, slots=True)
class Views:
    """Of a batch of samples.

    Attributes:
        cells: the generator's features in the directions that were clustered, float `[B, P, m, m]`.
        proxies: the share of each cluster that the proxy segmenter reads, float `[B, K, m, m]`.
        images: float `[B, 3, H, W]` in [-1, 1].
    """

    cells: Tensor
    proxies: Tensor
    images: Tensor

    def of(self, chosen: Tensor) -> Views:
        """Some of the samples, by index."""
        return Views(self.cells[chosen], self.proxies[chosen], self.images[chosen])


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
        pyramid, images = self.generator.sample(latents)
        features = self.generator.without_skip(pyramid)
        cells = self.clusters.cells({r: layer.float() for r, layer in features.items()})
        return Views(cells, self.segmenter(images).float().softmax(1), images.float())


def views_of(viewer: Viewer, latents: Tensor, chunk: int) -> Views:
    """Views of any number of latents, without gradients."""
    with torch.no_grad():
        parts = [viewer(some) for some in latents.split(chunk)]
    cells, proxies, images = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("cells", "proxies", "images")
    )
    return Views(cells, proxies, images)
