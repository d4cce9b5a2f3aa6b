"""Training of the sketch reader: sketches drawn from samples and their label maps -> the label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.conditions.sketches import any_sketches
from training.data.contact_sheets import contact_sheet, paint_labels, paint_sketches
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig, reader_section
from training.sis_ug.networks.build import sketch_reader

EMA_DECAY = 0.998


class SketchTrainer(ClassifierTrainer):
    """See the module's text; right is what the labeller says."""

    name = "sketch_reader"

    def __init__(
        self, config: PackConfig, generator: Generator, samples: LabelledSamples, device: torch.device
    ) -> None:
        super().__init__(sketch_reader(config), reader_section(config, "sketch"), EMA_DECAY, device)
        self.palette, self.generator, self.samples = config.palette, generator, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Samples, half of them mirrored, sketched anew each time."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        images, labels = self._samples(chosen)
        half = self.batch // 2
        images = torch.cat([images[:half], images[half:].flip(3)])
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(any_sketches(images, labels, generator)), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Samples, sketches, what the network reads, and the label maps."""
        images, labels = self._samples(first_samples(self.samples))
        sketches = any_sketches(images, labels, torch.Generator().manual_seed(0))
        read = paint_labels(self.average(sketches).argmax(1), self.palette)
        return contact_sheet([images, paint_sketches(sketches), read, paint_labels(labels, self.palette)])

    @torch.no_grad()
    def _samples(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = self.generator.images(self.samples.latents[chosen].to(self.device))
        return images.float(), self.samples.labels[chosen].to(self.device)
