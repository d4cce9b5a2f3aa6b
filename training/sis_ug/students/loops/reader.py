"""Training of the proxy reader: KL divergence from the proxy segmenter's logits of the finished image."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from training.data.contact_sheets import contact_sheet, paint_clusters
from training.data.labelled import LabelledSamples
from training.runs.updates import Metrics
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.losses import mask_loss
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.students.answers import Tensors
from training.sis_ug.students.build import proxy_reader
from training.sis_ug.students.loops.trainer import StudentTrainer, named, pyramid
from training.sis_ug.students.proxy_reader import ProxyReader


class ReaderTrainer(StudentTrainer):
    """The proxy reader; `agreement`: share of cells that it reads as its teacher."""

    name = "student_reader"

    def __init__(
        self,
        config: PackConfig,
        teachers: SynthesisPipeline,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        super().__init__(students_section(config).reader, config, teachers, samples, device)

    def student(self) -> ProxyReader:
        """From nothing."""
        return proxy_reader(self.config, self.teachers.generator)

    def ask(self, random: torch.Generator) -> Tensors:
        """Fresh samples of the generator: no label is needed."""
        generator = self.teachers.generator
        latents = torch.randn(self.batch, generator.latent_dim, generator=random) * self.config.latent.scale
        source = self.teachers.head(latents.to(self.device))
        return {"logits": self.teachers.segmenter(source.images)} | named("features", source.pyramid)

    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """See the module's text."""
        logits = self.network(pyramid("features", batch))
        right = (logits.argmax(1) == batch["logits"].argmax(1)).float().mean()
        return mask_loss(logits, batch["logits"]), {"agreement": right.item()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """The teacher's proxy masks, and the student's."""
        batch = self.answers[0]
        rows = batch["logits"], self.average(pyramid("features", batch))
        return contact_sheet([paint_clusters(row.argmax(1)) for row in rows])
