"""Training of the lean mapper, a low-rank copy: KL divergence from the mapper's logits.

Asked are label maps of samples with histograms of others, at any style strength.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor, nn

from training.data.contact_sheets import contact_sheet, paint_clusters, paint_labels
from training.data.labelled import LabelledSamples
from training.runs.updates import Metrics
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.losses import mask_loss
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.students.answers import Tensors
from training.sis_ug.students.loops.trainer import StudentTrainer
from training.sis_ug.students.low_rank import low_rank_copy

SHARING = 4
"""Label maps for each style."""


class MapperTrainer(StudentTrainer):
    """The lean mapper; `agreement`: share of cells that it maps as its teacher."""

    name = "student_mapper"

    def __init__(
        self,
        config: PackConfig,
        teachers: SynthesisPipeline,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        self.energy = students_section(config).mapper.energy
        super().__init__(students_section(config).mapper, config, teachers, samples, device)

    def student(self) -> nn.Module:
        """The teacher in low rank."""
        batches = self.first_batches()

        def run(network: nn.Module) -> None:
            for batch in batches:
                self._logits(network, batch)

        return low_rank_copy(self.teachers.mapper, run, self.energy)

    def ask(self, random: torch.Generator) -> Tensors:
        """Label maps, half of them mirrored, in the styles of other samples."""
        # A style is shared by a few label maps: drawing one costs as much as asking about them.
        chosen, givers = self.drawn(random), self.drawn(random)[: -(-self.batch // SHARING)]
        strength = torch.rand(self.batch, 1, generator=random).to(self.device)
        labels = self.samples.labels[chosen].to(self.device)
        labels = torch.cat([labels[::2], labels[1::2].flip(2)])
        histogram = self.teachers.head(self.latents(givers)).histogram.repeat(SHARING, 1)[: self.batch]
        logits = self.teachers.mapper(labels, histogram, strength)
        return {"labels": labels, "histogram": histogram, "strength": strength, "logits": logits}

    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """See the module's text."""
        logits = self._logits(self.network, batch)
        right = (logits.argmax(1) == batch["logits"].argmax(1)).float().mean()
        return mask_loss(logits, batch["logits"]), {"agreement": right.item()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Label maps, the teacher's proxy masks, and the student's."""
        batch = self.answers[0]
        rows = batch["logits"], self._logits(self.average, batch)
        masks = [paint_clusters(row.argmax(1)) for row in rows]
        return contact_sheet([paint_labels(batch["labels"], self.config.palette), *masks])

    def _logits(self, network: nn.Module, batch: Tensors) -> Tensor:
        logits: Tensor = network(batch["labels"], batch["histogram"], batch["strength"])
        return logits
