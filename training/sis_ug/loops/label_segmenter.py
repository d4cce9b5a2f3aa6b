"""Training of the label segmenter: images -> label maps, the differentiable judge of the mapper's cycle.

It starts as the proxy segmenter. The final evaluation never asks it: that is the independent labeller's part.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.networks.unet import UNet
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig
from training.sis_ug.networks.build import label_segmenter

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
        images, labels = self._images(chosen)
        half = self.batch // 2
        images = torch.cat([images[:half], images[half:].flip(3)])
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(images), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Images, the labeller's maps, the network's."""
        images, labels = self._images(first_samples(self.samples))
        read = self.average(images).argmax(1)
        return contact_sheet([images, paint_labels(labels, self.palette), paint_labels(read, self.palette)])

    @torch.no_grad()
    def _images(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = self.generator.images(self.samples.latents[chosen].to(self.device))
        return images.float(), self.samples.labels[chosen].to(self.device)
