"""Training of the label segmenter: pictures -> label maps, the differentiable judge of the mapper's cycle.

It starts as the proxy segmenter. The final evaluation never asks it: that is the independent labeller's part.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.config import PackConfig
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.loops.classifier import ClassifierTrainer
from training.networks import label_segmenter
from training.sheets import contact_sheet, paint_labels
from training.unet import UNet

EMA_DECAY = 0.995


class LabelSegmenterTrainer(ClassifierTrainer):
    """See the module's text; right is what the labeller says."""

    name = "label_segmenter"

    def __init__(
        self,
        config: PackConfig,
        generator: Generator,
        segmenter: UNet,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        network = label_segmenter(config)
        start = {k: v for k, v in segmenter.state_dict().items() if not k.startswith("classify.")}
        network.load_state_dict(start, strict=False)
        super().__init__(network, config.mapper.label_segmenter, EMA_DECAY, device)
        self.palette, self.generator, self.samples = config.palette, generator, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Labelled samples; half of them mirrored."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        pictures, labels = self._pictures(chosen)
        half = self.batch // 2
        pictures = torch.cat([pictures[:half], pictures[half:].flip(3)])
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(pictures), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Pictures, the labeller's maps, the network's."""
        pictures, labels = self._pictures(first_samples(self.samples))
        read = self.average(pictures).argmax(1)
        return contact_sheet([pictures, paint_labels(labels, self.palette), paint_labels(read, self.palette)])

    @torch.no_grad()
    def _pictures(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        pictures = self.generator.pictures(self.samples.latents[chosen].to(self.device))
        return pictures.float(), self.samples.labels[chosen].to(self.device)
