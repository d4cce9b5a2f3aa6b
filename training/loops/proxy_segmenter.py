"""Training of the proxy segmenter S: pictures -> proxy masks.

The clusters of `training.clustering` are noisy cell by cell; S learns what a picture shows of them. It is the
differentiable mask loss of the rearranger, the start of the discriminator, and in serving it reads the
source's proxy mask.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.clustering import ProxyClusters
from training.config import PackConfig
from training.generators.base import Generator
from training.loops.classifier import ClassifierTrainer
from training.networks import proxy_segmenter
from training.sheets import contact_sheet, paint_clusters

EMA_DECAY = 0.995


class ProxySegmenterTrainer(ClassifierTrainer):
    """See the module's text; right are the clusters."""

    name = "proxy_segmenter"

    def __init__(
        self, config: PackConfig, generator: Generator, clusters: ProxyClusters, device: torch.device
    ) -> None:
        super().__init__(proxy_segmenter(config), config.proxies.segmenter, EMA_DECAY, device)
        self.generator, self.clusters, self.scale = generator, clusters, config.latent.scale

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh samples."""
        pictures, masks = self._samples(self.batch, generator)
        return self.network(pictures), masks

    def sheet(self) -> Image.Image:
        """Pictures, their clusters, and what the segmenter reads."""
        pictures, masks = self._samples(16, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            read = self.average(pictures).argmax(1)
        return contact_sheet([pictures, paint_clusters(masks), paint_clusters(read)])

    @torch.no_grad()
    def _samples(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        latents = (
            torch.randn(count, self.generator.latent_dim, generator=generator).to(self.device) * self.scale
        )
        pyramid, pictures = self.generator.sample(latents)
        features = self.generator.without_skip(pyramid)
        return pictures.float(), self.clusters({r: f.float() for r, f in features.items()})
