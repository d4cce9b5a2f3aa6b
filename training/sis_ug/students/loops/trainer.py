"""What the trainings of all students share: a teacher's answers, and what a batch of them is learnt from.

The cycle afterwards is `training.sis_ug.loops.cycle`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from PIL import Image
from torch import Tensor, nn

from training.data.labelled import LabelledSamples
from training.generators.base import FeaturePyramid
from training.runs.checkpoints import Stateful
from training.runs.optimization import moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Metrics, Shard, Step, Update
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.students.answers import Answers, Tensors
from training.sis_ug.students.config import StudentSection

EMA_DECAY = 0.99
BETAS = (0.9, 0.99)
GRADIENT_CLIP = 5.0
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


def named(name: str, pyramid: FeaturePyramid) -> Tensors:
    """Features as answers are kept: "name_resolution"."""
    return {f"{name}_{resolution}": features for resolution, features in pyramid.items()}


def pyramid(name: str, batch: Tensors) -> FeaturePyramid:
    """The features that `named` has put among a batch's answers."""
    start = f"{name}_"
    return {int(key.removeprefix(start)): each for key, each in batch.items() if key.startswith(start)}
