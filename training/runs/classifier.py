"""What the supervised loops share: a U-Net learns the class of every cell by cross-entropy."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from training.config.palette import IGNORED
from training.config.sections import ClassifierSection
from training.runs.checkpoints import Stateful
from training.runs.optimization import mixed_precision, moving_average, place, set_learning_rate, warm_cosine
from training.runs.updates import Learner, Shard, Step, Update

WEIGHT_DECAY = 1e-4


class ClassifierTrainer(ABC):
    """A `Trainer` but for its batches; metrics: `loss` (cross-entropy), `accuracy` (share of right cells).

    Args:
        network: what to train.
        section: for how long, and how fast.
        ema_decay: of the moving average of the weights, which is the result.
        device: where.
    """

    name: str

    def __init__(
        self, network: nn.Module, section: ClassifierSection, ema_decay: float, device: torch.device
    ) -> None:
        self.steps, self.batch, self.rate = section.steps, section.batch, section.learning_rate
        self.device = device
        self.network = place(network, device)
        self.average = moving_average(self.network, ema_decay)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=WEIGHT_DECAY)
        self.learner = Learner(self.network, self.optimizer, average=self.average)
        self.parts: dict[str, Stateful] = {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
        }

    def step(self, step: int, shard: Shard) -> Step:
        """One batch."""
        set_learning_rate(self.optimizer, self.rate * warm_cosine(step, self.steps))
        self.network.train()
        with mixed_precision(self.device, shard.precision):
            logits, classes = self.answer(shard.generator)
        # A batch may have no cell that counts: then there is nothing to learn from it.
        counted = (classes != IGNORED).sum().clamp(min=1)
        loss = (
            F.cross_entropy(logits.float(), classes.long(), ignore_index=IGNORED, reduction="sum") / counted
        )
        yield Update(loss, (self.learner,))
        accuracy = (logits.argmax(1) == classes).sum() / counted
        return {"loss": loss.item(), "accuracy": accuracy.item()}

    @abstractmethod
    def answer(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw a batch: the network's logits `[B, K, m, m]` and the right classes, integers `[B, m, m]`.

        Cells whose class is IGNORED do not count.
        """

    @abstractmethod
    def sheet(self) -> Image.Image:
        """A contact sheet of the present state."""
