"""First phase of the mapper's training: supervised by the proxy masks of labelled samples.

Every sample teaches with its own histogram, so that the mapper learns to follow it; now and then the
histogram is left out (style strength 0), so that it also knows the commonest answer.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_clusters, paint_labels
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.networks.unet import UNet
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig
from training.sis_ug.loops.rearranger import draw_samples
from training.sis_ug.networks.build import label_map_mapper
from training.sis_ug.networks.mapper import proxy_histogram

EMA_DECAY = 0.998


class MapperTrainer(ClassifierTrainer):
    """See the module's text; right are the samples' proxy masks."""

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
        super().__init__(label_map_mapper(config), section, EMA_DECAY, device)
        self.dropout, self.clusters, self.palette = (
            section.histogram_dropout,
            config.proxies.clusters,
            config.palette,
        )
        self.generator, self.segmenter, self.samples = generator, segmenter, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Labelled samples; half of them mirrored."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        kept = torch.rand(self.batch, 1, generator=generator) >= self.dropout
        labels, masks = self._pairs(chosen, mirrored=self.batch // 2)
        histogram = proxy_histogram(masks, self.clusters)
        return self.network(labels, histogram, kept.float().to(self.device)), masks

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps, their samples' proxy masks, the mapper's, and the mapper's without a histogram."""
        labels, masks = self._pairs(first_samples(self.samples), mirrored=0)
        histogram = proxy_histogram(masks, self.clusters)
        strength = torch.ones(len(labels), 1, device=self.device)
        rows = [self.average(labels, histogram, strength * s).argmax(1) for s in (1.0, 0.0)]
        painted = [paint_clusters(row) for row in (masks, *rows)]
        return contact_sheet([paint_labels(labels, self.palette), *painted])

    @torch.no_grad()
    def _pairs(self, chosen: Tensor, mirrored: int) -> tuple[Tensor, Tensor]:
        """Label maps and proxy masks, the last `mirrored` mirrored (clusters know where light is from)."""
        source = draw_samples(self.generator, self.segmenter, self.samples.latents[chosen].to(self.device))
        labels = self.samples.labels[chosen].to(self.device)
        plain = len(chosen) - mirrored
        if not mirrored:
            return labels, source.masks
        mirrored_masks = self.segmenter(source.images[plain:].flip(3)).argmax(1)
        return torch.cat([labels[:plain], labels[plain:].flip(2)]), torch.cat(
            [source.masks[:plain], mirrored_masks]
        )
