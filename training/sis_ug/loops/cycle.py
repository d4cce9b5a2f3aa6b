"""Last stage: the cycle, which tunes mapper and rearranger together.

One sample's label map, another sample's style: the mapper's proxy mask goes through the rearranger and the
frozen generator, and judges say whether the image shows the label map (a frozen label segmenter), keeps the
source's colours class by class, and looks real (the discriminator, which goes on learning). Until here the
rearranger has only seen proxy masks of samples; here it learns to make the best of the mapper's.

The style strength s weighs colours against labels, 0.5 + s against 1.5 - s, so that it stays a dial. Two
terms hold what was learned before: the mapper's own loss on samples' masks, and the rearranger's
self-reconstruction.

Two things can be left out. Without a label segmenter no label map is a judge: the proxy segmenter asks
whether the image shows the mapper's own mask, and colours are compared cluster by cluster. And where the
rearranger stays as it is, the mapper alone learns to make masks that it can serve: then one rearranger
serves many mappers, as the paper has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.config.palette import IGNORED
from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.networks.one_hot import one_hot
from training.networks.unet import UNet
from training.runs.checkpoints import Stateful
from training.runs.optimization import mixed_precision, moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Shard, Step, Update
from training.sis_ug.config import PackConfig
from training.sis_ug.loops.rearranger import (
    BETAS,
    DISCRIMINATOR_BETAS,
    GRADIENT_CLIP,
    Samples,
    draw_samples,
    judgement_loss,
)
from training.sis_ug.losses import adversarial_loss, style_loss
from training.sis_ug.networks.discriminator import SegmenterDiscriminator
from training.sis_ug.networks.mapper import LabelMapMapper, proxy_histogram, straight_through_argmax
from training.sis_ug.networks.rearranger import Rearranger

EMA_DECAY = 0.995
SHOWN = 14
"""Samples on a sheet."""
ALIGNMENT_AT_ZERO = 1.5
STYLE_AT_ZERO = 0.5


@dataclass(frozen=True, slots=True)
class Judges:
    """The frozen networks of the cycle."""

    segmenter: UNet
    """Images to proxy masks."""
    label_segmenter: UNet | None = None
    """Images to label maps; None where labels are to be no judge."""


def cycle_name(label_judge: bool, tune_rearranger: bool) -> str:
    """Name of the run: each kind of cycle has a folder of its own."""
    return ("cycle" if label_judge else "proxy_cycle") + ("" if tune_rearranger else "_of_the_mapper")


class CycleTrainer:
    """See the module's text.

    Metrics: each loss by name, `accuracy` of the label maps that the judge reads off the images, and
    `agreement` of the proxy masks that are read off them with the mapper's.

    Args:
        config: of the pack.
        generator: frozen.
        judges: frozen.
        networks: mapper, rearranger, discriminator, to be trained on from what they are.
        samples: labelled.
        device: where.
        tune_rearranger: whether it learns, too.
    """

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        judges: Judges,
        networks: tuple[LabelMapMapper, Rearranger, SegmenterDiscriminator],
        samples: LabelledSamples,
        device: torch.device,
        *,
        tune_rearranger: bool = True,
    ) -> None:
        section = config.mapper.cycle
        self.name = cycle_name(judges.label_segmenter is not None, tune_rearranger)
        self.config, self.section, self.samples, self.device = config, section, samples, device
        self.generator, self.judges = generator, judges
        self.steps, self.batch = section.steps, section.batch
        self.clusters, self.classes = config.proxies.clusters, len(config.palette)
        mapper, arranger, discriminator = networks
        for network in networks:
            place(network, device).requires_grad_(network is not arranger or tune_rearranger)
        self.mapper, self.rearranger, self.discriminator = networks
        self.mapper_average = moving_average(mapper, EMA_DECAY)
        self.optimizers = {
            "mapper": torch.optim.Adam(mapper.parameters(), lr=section.learning_rate, betas=BETAS),
            "discriminator": torch.optim.Adam(
                discriminator.parameters(), lr=section.discriminator_learning_rate, betas=DISCRIMINATOR_BETAS
            ),
        }
        self.learners = [Learner(mapper, self.optimizers["mapper"], GRADIENT_CLIP, self.mapper_average)]
        self.parts: dict[str, Stateful] = {
            "mapper": mapper,
            "discriminator": discriminator,
            "mapper_average": self.mapper_average,
        }
        self.served_rearranger: torch.nn.Module = arranger
        if tune_rearranger:
            average = self.served_rearranger = moving_average(arranger, EMA_DECAY)
            self.optimizers["rearranger"] = torch.optim.Adam(
                arranger.parameters(), lr=section.rearranger_learning_rate, betas=BETAS
            )
            self.learners.append(Learner(arranger, self.optimizers["rearranger"], GRADIENT_CLIP, average))
            self.parts |= {"rearranger": arranger, "rearranger_average": average}
        self.parts |= {f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()}
        self.discriminator_learner = Learner(discriminator, self.optimizers["discriminator"])
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}

    def step(self, step: int, shard: Shard) -> Step:
        """One batch of pairs: the label map of each sample in the style of its neighbour."""
        for name, optimizer in self.optimizers.items():
            set_learning_rate(optimizer, self.rates[name] * warm_cosine(step, self.steps))
        # Batch norms keep the first phase's statistics: batches here mix two kinds of histograms.
        self.mapper.eval()
        chosen = torch.randint(len(self.samples), (self.batch,), generator=shard.generator)
        strength = torch.rand(self.batch, 1, generator=shard.generator).to(self.device)
        labels = self.samples.labels[chosen].to(self.device)
        wanted = labels.roll(1, 0)
        own = slice(None, max(1, self.section.self_samples))
        with mixed_precision(self.device, shard.precision):
            source = self._draw(chosen)
            histogram = proxy_histogram(source.masks, self.clusters)
            supervised = self.mapper(labels, histogram, strength).float()
            logits = self.mapper(wanted, histogram, strength).float()
            target = straight_through_argmax(logits)
            result = self._images(self.rearranger, source, target)
            itself = self._images(self.rearranger, source.part(own), self._clusters(source.masks[own]))
            judgement = judgement_loss(self.discriminator, source, result.detach())
        yield Update(judgement, (self.discriminator_learner,))
        with mixed_precision(self.device, shard.precision):
            read = self.judges.segmenter(result).float()
            cells, whole = self.discriminator(result)
            seen = self.judges.label_segmenter(result).float() if self.judges.label_segmenter else None

        mask = target.detach().argmax(1)
        metrics = {"agreement": (read.argmax(1) == mask).float().mean().item()}
        losses = {"proxy": F.cross_entropy(supervised, source.masks)}
        if seen is None:
            regions = self._clusters(source.masks), self._clusters(mask)
        else:
            counts = (wanted != IGNORED).float()
            entropy = F.cross_entropy(seen, wanted.long(), reduction="none", ignore_index=IGNORED)
            alignment = entropy.sum((1, 2)) / counts.sum((1, 2)).clamp(min=1)
            losses["label"] = ((ALIGNMENT_AT_ZERO - strength[:, 0]) * alignment).mean()
            right = ((seen.argmax(1) == wanted).float() * counts).sum() / counts.sum().clamp(min=1)
            metrics["accuracy"] = right.item()
            regions = self._classes(labels), self._classes(wanted)
        style = style_loss(source.images, regions[0], result, regions[1])
        losses |= {
            "style": ((STYLE_AT_ZERO + strength[:, 0]) * style).mean(),
            "adversarial": adversarial_loss((cells.float(), whole.float()), mask),
            "mask": F.cross_entropy(read, mask),
            "image": F.l1_loss(itself, source.images[own]),
        }
        weights = self.section.weights.model_dump()
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        yield Update(total, tuple(self.learners))
        return {
            **metrics,
            "total": total.item(),
            **{name: loss.item() for name, loss in losses.items()},
            "discriminator": judgement.item(),
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps; the styles; and each label map in its style at strengths 0, 0.5 and 1."""
        chosen = first_samples(self.samples, SHOWN)
        count = len(chosen)
        source = self._draw(chosen)
        wanted = self.samples.labels[chosen].roll(1, 0).to(self.device)
        histogram = proxy_histogram(source.masks, self.clusters)
        rows = []
        for value in (0.0, 0.5, 1.0):
            strength = torch.full((count, 1), value, device=self.device)
            target = self.mapper_average(wanted, histogram, strength).argmax(1)
            rows.append(self._images(self.served_rearranger, source, self._clusters(target)))
        return contact_sheet([paint_labels(wanted, self.config.palette), source.images, *rows])

    def _draw(self, chosen: Tensor) -> Samples:
        return draw_samples(
            self.generator, self.judges.segmenter, self.samples.latents[chosen].to(self.device)
        )

    def _images(self, network: torch.nn.Module, source: Samples, target: Tensor) -> Tensor:
        arranged = network(
            self.generator, source.pyramid, self._clusters(source.masks), target, source.styles
        )
        cut = self.config.rearranger.cut
        return self.generator.tail(arranged[cut], cut, source.styles).float()

    def _clusters(self, masks: Tensor) -> Tensor:
        return one_hot(masks, self.clusters)

    def _classes(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.classes)
