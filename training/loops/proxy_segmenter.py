"""Training of the proxy segmenter S: pictures -> proxy masks.

The clusters of `training.clustering` are noisy cell by cell; S learns what a picture shows of them. It is the
differentiable mask loss of the rearranger, the start of the discriminator, and in serving it reads the
source's proxy mask.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch.nn import functional as F

from training.clustering import ProxyClusters
from training.config import PackConfig
from training.generators.base import Generator
from training.networks import proxy_segmenter
from training.runs import Metrics, Stateful, moving_average, place, set_learning_rate, warm_cosine
from training.sheets import contact_sheet, paint_clusters

EMA_DECAY = 0.995


class ProxySegmenterTrainer:
    """See the module's text; metrics: `loss` (cross-entropy) and `accuracy` against the clusters."""

    name = "proxy_segmenter"

    def __init__(
        self, config: PackConfig, generator: Generator, clusters: ProxyClusters, device: torch.device
    ) -> None:
        section = config.proxies.segmenter
        self.steps, self.batch, self.rate = section.steps, section.batch, section.learning_rate
        self.device, self.generator, self.clusters = device, generator, clusters
        self.scale = config.latent.scale
        self.network = place(proxy_segmenter(config), device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=1e-4)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch of fresh samples."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            pictures, masks = self._samples(self.batch, generator)
            logits = self.network(pictures)
        loss = F.cross_entropy(logits.float(), masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        accuracy = (logits.argmax(1) == masks).float().mean()
        return {"loss": loss.item(), "accuracy": accuracy.item()}

    def sheet(self) -> Image.Image:
        """Pictures, their clusters, and what the segmenter reads."""
        pictures, masks = self._samples(16, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            read = self.average(pictures).argmax(1)
        return contact_sheet([pictures, paint_clusters(masks), paint_clusters(read)])

    @torch.no_grad()
    def _samples(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        latents = (
            torch.randn(count, self.generator.latent_dim, generator=generator).to(self.device) * self.scale
        )
        top = max(self.generator.channels)
        pyramid = self.generator.head(latents, top)
        return self.generator.tail(pyramid[top], top).float(), self.clusters(
            {r: f.float() for r, f in pyramid.items()}
        )
