"""Training of the students against their teachers' answers; the cycle afterwards is `training.loops.cycle`.

- The proxy reader: KL divergence from the proxy segmenter's logits of the finished image.
- The lean mapper, a low-rank copy: KL divergence from the mapper's logits, of label maps of samples with
  histograms of others, at any style strength.
- The lean rearranger, a low-rank copy: L1 of embeddings, of features at every level and of images. Attention
  stays as it is, so what it does is taken from the teacher.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.contact_sheets import contact_sheet, paint_clusters, paint_labels
from training.data.labelled import LabelledSamples
from training.generators.base import FeaturePyramid
from training.networks.one_hot import one_hot
from training.runs.checkpoints import Stateful
from training.runs.optimization import moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Metrics, Shard, Step, Update
from training.sis_ug.config import PackConfig, students_section
from training.sis_ug.losses import feature_loss, mask_loss
from training.sis_ug.networks.rearranger import Rearranger
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.students.answers import Answers, Tensors
from training.sis_ug.students.build import proxy_reader
from training.sis_ug.students.config import StudentSection
from training.sis_ug.students.low_rank import low_rank_copy
from training.sis_ug.students.proxy_reader import ProxyReader

EMA_DECAY = 0.99
BETAS = (0.9, 0.99)
GRADIENT_CLIP = 5.0
SHARING = 4
"""Label maps for each style."""
FITTED = 2
"""Batches that a low-rank copy is fitted to."""


class StudentTrainer(ABC):
    """A `Trainer` but for its questions and losses.

    Args:
        section: for how long, and how fast.
        config: of the pack.
        teachers: frozen.
        samples: labelled.
        device: where.
    """

    name: str

    def __init__(
        self,
        section: StudentSection,
        config: PackConfig,
        teachers: SynthesisPipeline,
        samples: LabelledSamples,
        device: torch.device,
    ) -> None:
        self.steps, self.batch, self.rate = section.steps, section.batch, section.learning_rate
        self.config, self.teachers, self.samples, self.device = config, teachers, samples, device
        self.answers = Answers(self.ask, section.batches, device)
        network = self.student()
        self.network = place(network, device)
        self.average = moving_average(self.network, EMA_DECAY)
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(learning, lr=self.rate, betas=BETAS)
        self.learner = Learner(self.network, self.optimizer, GRADIENT_CLIP, self.average)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, shard: Shard) -> Step:
        """One batch."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        self.network.train()
        loss, metrics = self.loss(self.answers.draw(shard.generator))
        yield Update(loss, (self.learner,))
        return {"loss": loss.item(), **metrics}

    @abstractmethod
    def student(self) -> nn.Module:
        """The student as it begins; the answers are there already."""

    @abstractmethod
    def ask(self, random: torch.Generator) -> Tensors:
        """Draw a batch, and ask the teachers."""

    @abstractmethod
    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """The loss on a batch, and metrics."""

    @abstractmethod
    def sheet(self) -> Image.Image:
        """A contact sheet of the present state, of the first batch."""

    def first_batches(self) -> list[Tensors]:
        """What a low-rank copy is fitted to; asked beforehand, since asking runs the teacher, too."""
        return [self.answers[number] for number in range(FITTED)]

    def drawn(self, random: torch.Generator) -> Tensor:
        """Indices of samples."""
        return torch.randint(len(self.samples), (self.batch,), generator=random)

    def latents(self, chosen: Tensor) -> Tensor:
        """Of samples."""
        return self.samples.latents[chosen].to(self.device)


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
        return {"logits": self.teachers.segmenter(source.images)} | _named("features", source.pyramid)

    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """See the module's text."""
        logits = self.network(_pyramid("features", batch))
        right = (logits.argmax(1) == batch["logits"].argmax(1)).float().mean()
        return mask_loss(logits, batch["logits"]), {"agreement": right.item()}

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """The teacher's proxy masks, and the student's."""
        batch = self.answers[0]
        rows = batch["logits"], self.average(_pyramid("features", batch))
        return contact_sheet([paint_clusters(row.argmax(1)) for row in rows])


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
            key: tensor for name, each in answers.items() for key, tensor in _named(name, each).items()
        }

    def loss(self, batch: Tensors) -> tuple[Tensor, Metrics]:
        """See the module's text."""
        weights = self.section.weights
        wanted = _pyramid("arranged", batch)
        network = self.network
        assert isinstance(network, Rearranger)
        arranged, *seen = self._arranged(network, batch)
        losses = {
            "embeddings": torch.stack(
                [
                    feature_loss(mine, _pyramid(name, batch), dict.fromkeys(self.teachers.attended, 1.0))
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
        rows = _pyramid("arranged", batch), self._arranged(average, batch)[0]
        return contact_sheet([self._images(row, batch) for row in rows])

    def _arranged(self, network: Rearranger, batch: Tensors) -> tuple[FeaturePyramid, ...]:
        """Rearranged features, and both embeddings."""
        offered, asked = self._embedded(network, batch["source"], batch["target"])
        attended = _pyramid("attended", batch)
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


def _named(name: str, pyramid: FeaturePyramid) -> Tensors:
    return {f"{name}_{resolution}": features for resolution, features in pyramid.items()}


def _pyramid(name: str, batch: Tensors) -> FeaturePyramid:
    start = f"{name}_"
    return {int(key.removeprefix(start)): each for key, each in batch.items() if key.startswith(start)}
