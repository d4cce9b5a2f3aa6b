"""Training of the judge: images of samples that nothing else uses -> their label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_labels
from training.data.labelled import LabelledSamples, first_samples
from training.data.reading import disturbed
from training.generators.base import Generator
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig, judge_section
from training.sis_ug.networks.build import judge

EMA_DECAY = 0.995


class JudgeTrainer(ClassifierTrainer):
    """See the module's text; right is what the labeller says."""

    name = "judge"

    def __init__(
        self, config: PackConfig, generator: Generator, samples: LabelledSamples, device: torch.device
    ) -> None:
        super().__init__(judge(config), judge_section(config), EMA_DECAY, device)
        self.palette, self.generator, self.samples = config.palette, generator, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Labelled samples, half of them mirrored, in another light."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        images, labels = self._images(chosen)
        half = self.batch // 2
        images = torch.cat([images[:half], images[half:].flip(3)])
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(disturbed(images, generator)), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Images, the labeller's maps, the judge's."""
        images, labels = self._images(first_samples(self.samples))
        read = self.average(images).argmax(1)
        return contact_sheet([images, paint_labels(labels, self.palette), paint_labels(read, self.palette)])

    @torch.no_grad()
    def _images(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = self.generator.images(self.samples.latents[chosen].to(self.device))
        return images.float(), self.samples.labels[chosen].to(self.device)
