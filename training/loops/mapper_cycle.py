"""Second phase of the mapper's training: the cycle.

One sample's label map, another sample's style: the mapper's proxy mask (a straight-through Gumbel sample)
goes through the frozen rearranger and generator, and frozen judges say whether the picture shows the label
map (label segmenter), keeps the source's colours class by class, and looks real (discriminator). The style
strength s weighs the first two against each other, so that it stays a dial: style counts s times, alignment
1.5 - s times. The first phase's loss goes on beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.config import PackConfig
from training.data.labelled import LabelledSamples
from training.discriminator import SegmenterDiscriminator
from training.generators.base import Generator
from training.loops.rearranger import draw_samples
from training.losses import adversarial_loss, style_loss
from training.mapper import LabelMapMapper, proxy_histogram, straight_through_sample
from training.rearranger import Rearranger
from training.runs import Metrics, Stateful, moving_average, place, set_learning_rate, warm_cosine
from training.sheets import contact_sheet, paint_labels
from training.unet import UNet, one_hot

EMA_DECAY = 0.995
GRADIENT_CLIP = 5.0
ALIGNMENT_AT_ZERO = 1.5


@dataclass(frozen=True, slots=True)
class FrozenStages:
    """The trained networks the cycle runs through; none of them learns here."""

    generator: Generator
    segmenter: UNet
    rearranger: Rearranger
    label_segmenter: UNet
    discriminator: SegmenterDiscriminator


class MapperCycleTrainer:
    """See the module's text.

    Metrics: each loss by name, and `accuracy` of the label maps that the judge reads off the pictures.
    """

    name = "mapper_cycle"

    def __init__(
        self,
        config: PackConfig,
        stages: FrozenStages,
        mapper: LabelMapMapper,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        section = config.mapper.cycle
        self.config, self.section, self.stages, self.samples, self.device = (
            config,
            section,
            stages,
            samples,
            device,
        )
        self.steps, self.batch = section.steps, section.batch
        self.clusters, self.classes = config.proxies.clusters, len(config.palette)
        self.network = place(mapper, device)
        self.average = moving_average(self.network, EMA_DECAY)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=section.learning_rate, betas=(0.9, 0.99)
        )
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, generator: torch.Generator) -> Metrics:
        """One batch of pairs: the label map of each sample in the style of its neighbour."""
        section, stages = self.section, self.stages
        set_learning_rate(self.optimizer, section.learning_rate * warm_cosine(step, self.steps))
        # Batch norms keep the statistics of the first phase: batches here are small and mix two kinds of
        # histograms.
        self.network.eval()
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        strength = torch.rand(self.batch, 1, generator=generator).to(self.device)
        side = self.config.proxies.resolution
        uniform = torch.rand(self.batch, self.clusters, side, side, generator=generator).to(self.device)
        labels = self.samples.labels[chosen].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            source = draw_samples(
                stages.generator, stages.segmenter, self.samples.latents[chosen].to(self.device)
            )
            histogram = proxy_histogram(source.masks, self.clusters)
            own = self.network(labels, histogram, strength)
            wanted = labels.roll(1, 0)
            logits = self.network(wanted, histogram, strength).float()
            target = straight_through_sample(logits, section.temperature, uniform)
            cut = self.config.rearranger.cut
            rearranged = stages.rearranger(
                stages.generator, source.pyramid, one_hot(source.masks, self.clusters), target
            )
            result = stages.generator.tail(rearranged[cut], cut).float()
            seen = stages.label_segmenter(result).float()
            cells, whole = stages.discriminator(result)

        alignment = F.cross_entropy(seen, wanted.long(), reduction="none").mean((1, 2))
        style = style_loss(source.pictures, self._classes(labels), result, self._classes(wanted))
        losses = {
            "proxy": F.cross_entropy(own.float(), source.masks),
            "label": ((ALIGNMENT_AT_ZERO - strength[:, 0]) * alignment).mean(),
            "style": (strength[:, 0] * style).mean(),
            "adversarial": adversarial_loss((cells.float(), whole.float()), target.detach().argmax(1)),
        }
        total = (
            section.proxy * losses["proxy"]
            + section.label * losses["label"]
            + section.style * losses["style"]
            + section.adversarial * losses["adversarial"]
        )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_CLIP)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        accuracy = (seen.argmax(1) == wanted).float().mean()
        return {
            "accuracy": accuracy.item(),
            "total": total.item(),
            **{name: loss.item() for name, loss in losses.items()},
        }

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps; the styles; and each label map in its style at strengths 0, 0.5 and 1."""
        stages, count = self.stages, 14
        chosen = torch.arange(count)
        source = draw_samples(
            stages.generator, stages.segmenter, self.samples.latents[chosen].to(self.device)
        )
        wanted = self.samples.labels[chosen].roll(1, 0).to(self.device)
        histogram = proxy_histogram(source.masks, self.clusters)
        cut = self.config.rearranger.cut
        rows = []
        for strength in (0.0, 0.5, 1.0):
            target = self.average(
                wanted, histogram, torch.full((count, 1), strength, device=self.device)
            ).argmax(1)
            rearranged = stages.rearranger(
                stages.generator,
                source.pyramid,
                one_hot(source.masks, self.clusters),
                one_hot(target, self.clusters),
            )
            rows.append(stages.generator.tail(rearranged[cut], cut))
        return contact_sheet([paint_labels(wanted, self.config.palette), source.pictures, *rows])

    def _classes(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.classes)
