"""Training of the proxy segmenter S: images -> proxy masks.

The clusters of `training.sis_ug.clustering` are noisy cell by cell; S learns what an image shows of them. It
is the differentiable mask loss of the rearranger, the start of the discriminator, and in serving it reads the
source's proxy mask.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_clusters
from training.generators.base import Generator
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.clustering import ProxyClusters
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import proxy_segmenter

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
        images, masks = self._samples(self.batch, generator)
        return self.network(images), masks

    def sheet(self) -> Image.Image:
        """Images, their clusters, and what the segmenter reads."""
        images, masks = self._samples(16, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            read = self.average(images).argmax(1)
        return contact_sheet([images, paint_clusters(masks), paint_clusters(read)])

    @torch.no_grad()
    def _samples(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        latents = (
            torch.randn(count, self.generator.latent_dim, generator=generator).to(self.device) * self.scale
        )
        pyramid, images = self.generator.sample(latents)
        features = self.generator.without_skip(pyramid)
        return images.float(), self.clusters({r: f.float() for r, f in features.items()})
