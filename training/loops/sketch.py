"""Training of the sketch mapper: supervised by the sketched samples' proxy masks, then a cycle.

In the cycle a sample is asked for in its neighbour's sketch, as with label maps; but the rearranger, which
label maps are served with too, stays as it is, and so do the judges. Only the mapper learns.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.config import PackConfig, sketch_section
from training.data.labelled import LabelledSamples
from training.discriminator import SegmenterDiscriminator
from training.generators.base import Generator
from training.loops.classifier import ClassifierTrainer
from training.loops.cycle import ALIGNMENT_AT_ZERO, STYLE_AT_ZERO, Judges
from training.loops.mapper import Batch, draw_batch
from training.loops.rearranger import BETAS, GRADIENT_CLIP, Samples, draw_samples
from training.losses import adversarial_loss, style_loss
from training.mapper import SketchMapper, proxy_histogram, straight_through_argmax
from training.networks import sketch_mapper
from training.rearranger import Rearranger
from training.runs import (
    Metrics,
    Stateful,
    mixed_precision,
    moving_average,
    place,
    set_learning_rate,
    warm_cosine,
)
from training.sheets import contact_sheet, paint_clusters, paint_sketches
from training.sketches import any_sketches
from training.unet import UNet, one_hot

EMA_DECAY = 0.998
CYCLE_EMA_DECAY = 0.99


class SketchTrainer(ClassifierTrainer):
    """First run; right are the samples' proxy masks."""

    name = "sketch"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        section = sketch_section(config).supervised
        super().__init__(sketch_mapper(config), section, EMA_DECAY, device)
        self.dropout, self.clusters = section.histogram_dropout, config.proxies.clusters
        self.generator, self.segmenter, self.samples = generator, segmenter, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sketched samples, half of them mirrored."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        kept = torch.rand(self.batch, 1, generator=generator) >= self.dropout
        batch = self._batch(chosen, mirrored=self.batch // 2)
        sketches = any_sketches(batch.pictures, batch.labels, generator)
        histogram = proxy_histogram(batch.masks, self.clusters)
        return self.network(sketches, histogram, kept.float().to(self.device)), batch.masks

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Samples, sketches, the samples' proxy masks, the mapper's, and the mapper's without a histogram."""
        batch = self._batch(torch.arange(16), mirrored=0)
        sketches = any_sketches(batch.pictures, batch.labels, torch.Generator().manual_seed(0))
        histogram = proxy_histogram(batch.masks, self.clusters)
        strength = torch.ones(16, 1, device=self.device)
        rows = [self.average(sketches, histogram, strength * s).argmax(1) for s in (1.0, 0.0)]
        painted = [paint_clusters(row) for row in (batch.masks, *rows)]
        return contact_sheet([batch.pictures, paint_sketches(sketches), *painted])

    def _batch(self, chosen: Tensor, mirrored: int) -> Batch:
        return draw_batch(self.generator, self.segmenter, self.samples, chosen, mirrored)


class SketchCycleTrainer:
    """Second run; see the module's text.

    Metrics: each loss by name, and `accuracy` of the label maps that the judge reads off the pictures.
    """

    name = "sketch_cycle"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        judges: Judges,
        networks: tuple[SketchMapper, Rearranger, SegmenterDiscriminator],
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        section = sketch_section(config).cycle
        self.config, self.samples, self.device = config, samples, device
        self.steps, self.batch, self.rate = section.steps, section.batch, section.learning_rate
        self.weights = section.weights.model_dump()
        self.generator, self.judges = generator, judges
        self.clusters, self.classes = config.proxies.clusters, len(config.palette)
        mapper, arranger, discriminator = networks
        self.mapper = place(mapper, device).requires_grad_(True)
        self.rearranger = place(arranger, device).eval().requires_grad_(False)
        self.discriminator = place(discriminator, device).eval().requires_grad_(False)
        self.average = moving_average(mapper, CYCLE_EMA_DECAY)
        self.optimizer = torch.optim.Adam(mapper.parameters(), lr=self.rate, betas=BETAS)
        self.parts: dict[str, Stateful] = {
            "mapper": self.mapper,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch of pairs: the sketch of each sample in the style of its neighbour."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        # Batch norms keep the first run's statistics: batches here mix two kinds of histograms.
        self.mapper.eval()
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        strength = torch.rand(self.batch, 1, generator=generator).to(self.device)
        labels = self.samples.labels[chosen].to(self.device)
        wanted = labels.roll(1, 0)
        with mixed_precision(self.device):
            source = self._draw(chosen)
            sketches = any_sketches(source.pictures, labels, generator)
            histogram = proxy_histogram(source.masks, self.clusters)
            supervised = self.mapper(sketches, histogram, strength).float()
            logits = self.mapper(sketches.roll(1, 0), histogram, strength).float()
            target = straight_through_argmax(logits)
            result = self._pictures(source, target)
            seen, read = self.judges.label_segmenter(result).float(), self.judges.segmenter(result).float()
            cells, whole = self.discriminator(result)

        mask = target.detach().argmax(1)
        alignment = F.cross_entropy(seen, wanted.long(), reduction="none").mean((1, 2))
        style = style_loss(source.pictures, self._classes(labels), result, self._classes(wanted))
        losses = {
            "proxy": F.cross_entropy(supervised, source.masks),
            "label": ((ALIGNMENT_AT_ZERO - strength[:, 0]) * alignment).mean(),
            "style": ((STYLE_AT_ZERO + strength[:, 0]) * style).mean(),
            "adversarial": adversarial_loss((cells.float(), whole.float()), mask),
            "mask": F.cross_entropy(read, mask),
        }
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.mapper.parameters(), GRADIENT_CLIP)
        self.optimizer.step()
        self.average.update_parameters(self.mapper)
        accuracy = (seen.argmax(1) == wanted).float().mean()
        return {
            "accuracy": accuracy.item(),
            "total": total.item(),
            **{name: loss.item() for name, loss in losses.items()},
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Sketches; the styles; and each sketch in its style at strengths 0, 0.5 and 1."""
        count = 14
        source = self._draw(torch.arange(count))
        labels = self.samples.labels[:count].to(self.device)
        sketches = any_sketches(source.pictures, labels, torch.Generator().manual_seed(0)).roll(1, 0)
        histogram = proxy_histogram(source.masks, self.clusters)
        rows = []
        for value in (0.0, 0.5, 1.0):
            strength = torch.full((count, 1), value, device=self.device)
            target = self.average(sketches, histogram, strength).argmax(1)
            rows.append(self._pictures(source, one_hot(target, self.clusters)))
        return contact_sheet([paint_sketches(sketches), source.pictures, *rows])

    def _draw(self, chosen: Tensor) -> Samples:
        return draw_samples(
            self.generator, self.judges.segmenter, self.samples.latents[chosen].to(self.device)
        )

    def _pictures(self, source: Samples, target: Tensor) -> Tensor:
        source_mask = one_hot(source.masks, self.clusters)
        arranged = self.rearranger(self.generator, source.pyramid, source_mask, target)
        cut = self.config.rearranger.cut
        return self.generator.tail(arranged[cut], cut).float()

    def _classes(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.classes)
