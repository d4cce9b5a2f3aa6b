"""Training of the scribble completer: scribbles cut from label maps -> the label maps."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.conditions.scribbles import ANY_HAND, scribbles
from training.data.contact_sheets import contact_sheet, paint_labels, paint_scribbles
from training.data.labelled import LabelledSamples
from training.runs.classifier import ClassifierTrainer
from training.sis_ug.config import PackConfig, reader_section
from training.sis_ug.networks.build import scribble_completer

EMA_DECAY = 0.998


class ScribbleTrainer(ClassifierTrainer):
    """See the module's text; right are the label maps that the scribbles were cut from."""

    name = "scribble_completer"

    def __init__(self, config: PackConfig, samples: LabelledSamples, device: torch.device) -> None:
        super().__init__(scribble_completer(config), reader_section(config, "scribble"), EMA_DECAY, device)
        self.palette, self.samples = config.palette, samples

    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Label maps, half of them mirrored, scribbled anew each time."""
        chosen = torch.randint(len(self.samples), (self.batch,), generator=generator)
        labels = self.samples.labels[chosen]
        half = self.batch // 2
        labels = torch.cat([labels[:half], labels[half:].flip(2)])
        seed = int(torch.randint(2**31, (), generator=generator))
        return self.network(self._scribbled(labels, seed)), labels.to(self.device)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Scribbles, what the network completes them to, and the label maps."""
        labels = self.samples.labels[:16]
        drawn = self._scribbled(labels, seed=0)
        completed = self.average(drawn).argmax(1)
        rows = paint_labels(completed, self.palette), paint_labels(labels, self.palette)
        return contact_sheet([paint_scribbles(drawn, self.palette), *rows])

    def _scribbled(self, labels: Tensor, seed: int) -> Tensor:
        drawn = scribbles(labels.numpy(), ANY_HAND, np.random.default_rng(seed))
        return torch.from_numpy(drawn).to(self.device)
