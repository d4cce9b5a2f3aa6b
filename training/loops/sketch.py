"""Training of the sketch reader: sketches drawn from samples and their label maps -> the label maps."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.config import PackConfig, reader_section
from training.data.labelled import LabelledSamples, first_samples
from training.generators.base import Generator
from training.loops.classifier import ClassifierTrainer
from training.networks import sketch_reader
from training.sheets import contact_sheet, paint_labels, paint_sketches
from training.sketches import any_sketches

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
        pictures, labels = self._samples(chosen)
        half = self.batch // 2
        pictures = torch.cat([pictures[:half], pictures[half:].flip(3)])
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        return self.network(any_sketches(pictures, labels, generator)), labels

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Samples, sketches, what the network reads, and the label maps."""
        pictures, labels = self._samples(first_samples(self.samples))
        sketches = any_sketches(pictures, labels, torch.Generator().manual_seed(0))
        read = paint_labels(self.average(sketches).argmax(1), self.palette)
        return contact_sheet([pictures, paint_sketches(sketches), read, paint_labels(labels, self.palette)])

    @torch.no_grad()
    def _samples(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        pictures = self.generator.pictures(self.samples.latents[chosen].to(self.device))
        return pictures.float(), self.samples.labels[chosen].to(self.device)
