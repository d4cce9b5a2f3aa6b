"""Training of the lean rearranger, a low-rank copy: L1 of embeddings, features at every level, and images.

Attention stays as it is, so what it does is taken from the teacher.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from training.data.contact_sheets import contact_sheet
from training.data.labelled import LabelledSamples
from training.generators.base import FeaturePyramid
from training.networks.one_hot import one_hot
from training.runs.updates import Metrics
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.losses import feature_loss
from training.sis_ug.networks.rearranger import Rearranger
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.students.answers import Tensors
from training.sis_ug.students.loops.trainer import StudentTrainer, named, pyramid
from training.sis_ug.students.low_rank import low_rank_copy


class RearrangerTrainer(StudentTrainer):
    """The lean rearranger; metrics: the losses by name.

    A pair is a source and what is asked of it: its own proxy mask, its neighbour's, or what the mapper makes
    of its neighbour's label map.
    """

    name = "student_rearranger"

    def __init__(
        self,
        config: PackConfig,
        teachers: SynthesisPipeline,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        self.section = students_section(config).rearranger
        super().__init__(self.section, config, teachers, samples, device)

    def student(self) -> Rearranger:
        """The teacher in low rank; its attention and gates do not learn."""
        batches = self.first_batches()

        def run(network: Rearranger) -> None:
            for batch in batches:
                self._arranged(network, batch)

        network = low_rank_copy(self.teachers.rearranger, run, self.section.energy)
        network.attention.requires_grad_(False)
        network.gate.requires_grad_(False)
        return network

    def ask(self, random: torch.Generator) -> Tensors:
        """Pairs."""
        teachers, arranger, batch = self.teachers, self.teachers.rearranger, self.batch
        own = round(batch * self.section.own_fraction)
        last = own + round(batch * self.section.exemplar_fraction)
        chosen = self.drawn(random)
        strength = torch.rand(batch, 1, generator=random).to(self.device)
        source = teachers.head(self.latents(chosen))
        labels = self.samples.labels[chosen].roll(1, 0).to(self.device)
        mapped = teachers.map_labels(labels, source.histogram, strength)
        mask = torch.cat([source.mask[:own], source.mask.roll(1, 0)[own:last], mapped[last:]])
        offered, asked = self._embedded(arranger, source.mask, mask)
        attended = arranger.attend(source.pyramid, offered, asked)
        arranged = arranger.finish(teachers.generator, attended, asked, source.styles)
        given = {"source": source.mask.byte(), "target": mask.byte()}
        if source.styles is not None:
            given["styles"] = source.styles
        answers = {"attended": attended, "arranged": arranged, "offered": offered, "asked": asked}
        return given | {
            key: tensor for name, each in answers.items() for key, tensor in named(name, each).items()
        }

    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """See the module's text."""
        weights = self.section.weights
        wanted = pyramid("arranged", batch)
        network = self.network
        assert isinstance(network, Rearranger)
        arranged, *seen = self._arranged(network, batch)
        losses = {
            "embeddings": torch.stack(
                [
                    feature_loss(mine, pyramid(name, batch), dict.fromkeys(self.teachers.attended, 1.0))
                    for mine, name in zip(seen, ("offered", "asked"), strict=True)
                ]
            ).sum(),
            "features": feature_loss(arranged, wanted, weights.features),
            "image": F.l1_loss(self._images(arranged, batch), self._images(wanted, batch)),
        }
        total = (
            weights.embeddings * losses["embeddings"] + losses["features"] + weights.image * losses["image"]
        )
        return total, {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """The teacher's images, and the student's."""
        batch = self.answers[0]
        average = self.average.module
        assert isinstance(average, Rearranger)
        rows = pyramid("arranged", batch), self._arranged(average, batch)[0]
        return contact_sheet([self._images(row, batch) for row in rows])

    def _arranged(self, network: Rearranger, batch: Tensors) -> tuple[FeaturePyramid, ...]:
        """Rearranged features, and both embeddings."""
        offered, asked = self._embedded(network, batch["source"], batch["target"])
        attended = pyramid("attended", batch)
        arranged = network.finish(self.teachers.generator, attended, asked, batch.get("styles"))
        return arranged, offered, asked

    def _embedded(
        self, network: Rearranger, source: Tensor, target: Tensor
    ) -> tuple[FeaturePyramid, FeaturePyramid]:
        clusters = self.teachers.clusters
        return network.embed_source(one_hot(source, clusters)), network.embed_target(
            one_hot(target, clusters)
        )

    def _images(self, arranged: FeaturePyramid, batch: Tensors) -> Tensor:
        return self.teachers.tail(arranged[self.teachers.cut], batch.get("styles"))
