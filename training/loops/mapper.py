"""First phase of the mapper's training: supervised by the proxy masks of labelled samples.

Every sample teaches with its own histogram, so that the mapper learns to follow it; now and then the
histogram is left out (style strength 0), so that it also knows the commonest answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from training.config import PackConfig
from training.data.labelled import LabelledSamples
from training.generators.base import Generator
from training.loops.classifier import ClassifierTrainer
from training.loops.rearranger import draw_samples
from training.mapper import proxy_histogram
from training.networks import label_map_mapper
from training.sheets import contact_sheet, paint_clusters, paint_labels
from training.unet import UNet

EMA_DECAY = 0.998


@dataclass(frozen=True, slots=True)
class Batch:
    """Labelled samples: pictures `[B, 3, H, W]`, label maps `[B, H, W]`, proxy masks `[B, m, m]`."""

    pictures: Tensor
    labels: Tensor
    masks: Tensor


@torch.no_grad()
def draw_batch(
    generator: Generator, segmenter: UNet, samples: LabelledSamples, chosen: Tensor, mirrored: int
) -> Batch:
    """The samples chosen, the last `mirrored` of them mirrored (clusters know where light is from)."""
    source = draw_samples(generator, segmenter, samples.latents[chosen].to(generator.device))
    labels = samples.labels[chosen].to(generator.device)
    if not mirrored:
        return Batch(source.pictures, labels, source.masks)
    plain = len(chosen) - mirrored
    flipped = source.pictures[plain:].flip(3)
    return Batch(
        torch.cat([source.pictures[:plain], flipped]),
        torch.cat([labels[:plain], labels[plain:].flip(2)]),
        torch.cat([source.masks[:plain], segmenter(flipped).argmax(1)]),
    )


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
        batch = self._batch(chosen, mirrored=self.batch // 2)
        histogram = proxy_histogram(batch.masks, self.clusters)
        return self.network(batch.labels, histogram, kept.float().to(self.device)), batch.masks

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps, their samples' proxy masks, the mapper's, and the mapper's without a histogram."""
        batch = self._batch(torch.arange(16), mirrored=0)
        histogram = proxy_histogram(batch.masks, self.clusters)
        strength = torch.ones(16, 1, device=self.device)
        rows = [self.average(batch.labels, histogram, strength * s).argmax(1) for s in (1.0, 0.0)]
        painted = [paint_clusters(row) for row in (batch.masks, *rows)]
        return contact_sheet([paint_labels(batch.labels, self.palette), *painted])

    def _batch(self, chosen: Tensor, mirrored: int) -> Batch:
        return draw_batch(self.generator, self.segmenter, self.samples, chosen, mirrored)
