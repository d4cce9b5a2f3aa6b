"""First phase of the mapper's training: supervised by the proxy masks of labelled samples.

Every sample teaches with its own histogram, so that the mapper learns to follow it; now and then the
histogram is left out (style strength 0), so that it also knows the commonest answer.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.config import PackConfig
from training.data.labelled import LabelledSamples
from training.generators.base import Generator
from training.loops.rearranger import draw_samples
from training.mapper import proxy_histogram
from training.networks import label_map_mapper
from training.runs import Metrics, Stateful, moving_average, place, set_learning_rate, warm_cosine
from training.sheets import contact_sheet, paint_clusters, paint_labels
from training.unet import UNet

EMA_DECAY = 0.998


class MapperTrainer:
    """See the module's text; metrics: `loss` (cross-entropy), `accuracy` against the samples' proxy masks."""

    name = "mapper"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        section = config.mapper.supervised
        self.config, self.steps, self.batch, self.rate = (
            config,
            section.steps,
            section.batch,
            section.learning_rate,
        )
        self.dropout = section.histogram_dropout
        self.device, self.generator, self.segmenter, self.samples = device, generator, segmenter, samples
        self.network = place(label_map_mapper(config), device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=1e-4)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch; half of it mirrored."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        self.network.train()
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        kept = torch.rand(self.batch, 1, generator=generator) >= self.dropout
        with torch.autocast(self.device.type, torch.bfloat16):
            labels, masks = self._pairs(chosen, mirrored=self.batch // 2)
            histogram = proxy_histogram(masks, self.config.proxies.clusters)
            logits = self.network(labels, histogram, kept.float().to(self.device))
        loss = F.cross_entropy(logits.float(), masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.network)
        accuracy = (logits.argmax(1) == masks).float().mean()
        return {"loss": loss.item(), "accuracy": accuracy.item()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps, their samples' proxy masks, the mapper's, and the mapper's without a histogram."""
        labels, masks = self._pairs(torch.arange(16), mirrored=0)
        histogram = proxy_histogram(masks, self.config.proxies.clusters)
        strength = torch.ones(16, 1, device=self.device)
        rows = [self.average(labels, histogram, strength * s).argmax(1) for s in (1.0, 0.0)]
        painted = [paint_clusters(row) for row in (masks, *rows)]
        return contact_sheet([paint_labels(labels, self.config.palette), *painted])

    @torch.no_grad()
    def _pairs(self, chosen: Tensor, mirrored: int) -> tuple[Tensor, Tensor]:
        """Label maps and proxy masks, the last `mirrored` mirrored (clusters know where light is from)."""
        source = draw_samples(self.generator, self.segmenter, self.samples.latents[chosen].to(self.device))
        labels = self.samples.labels[chosen].to(self.device)
        plain = len(chosen) - mirrored
        if not mirrored:
            return labels, source.masks
        mirrored_masks = self.segmenter(source.pictures[plain:].flip(3)).argmax(1)
        return torch.cat([labels[:plain], labels[plain:].flip(2)]), torch.cat(
            [source.masks[:plain], mirrored_masks]
        )
