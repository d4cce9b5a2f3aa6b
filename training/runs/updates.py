"""What a step of training is made of: shards of a batch, losses on them, and networks that learn from these.

The batch of a step is divided into shards, one for each micro-batch of each rank. A trainer works on one
shard at a time and yields an `Update` wherever an optimiser is to step; it goes on when that is done. A GAN
yields twice: the discriminator's update, then the generator's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.runs.buffers import Buffers
from training.runs.distributed import DistributedContext

Metrics = dict[str, float]
Precision = Literal["auto", "32", "bf16"]
STEP_SEED_STRIDE = 1_000_003
SHARD_SEED_STRIDE = 2_654_435_761
"""2^32 by the golden ratio: generators on the CPU keep 32 bits of a seed; in these, shards are far apart."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a step's batch.

    Attributes:
        generator: every draw for the shard comes from it (on the CPU).
        precision: what networks run in; "auto" leaves it to `training.runs.optimization.mixed_precision`.
    """

    generator: torch.Generator
    precision: Precision = "auto"


def shard_generator(seed: int, step: int, shard: int) -> torch.Generator:
    """The randomness of a run's step, for one of its shards: the same wherever that shard is worked on."""
    return torch.Generator().manual_seed(seed * STEP_SEED_STRIDE + step + shard * SHARD_SEED_STRIDE)


@dataclass(frozen=True, slots=True)
class Learner:
    """A network, and how it follows a gradient.

    Attributes:
        network: its parameters are the optimiser's.
        optimizer: what makes the step.
        clip: the largest norm of the whole batch's gradient; longer ones are cut to it.
        average: moving average of the network, brought up to date after every step.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    clip: float | None = None
    average: AveragedModel | None = None

    def zero_grad(self) -> None:
        """Drop the last step's gradient."""
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, distributed: DistributedContext) -> None:
        """Make one step along the gradient, which every rank holds its part of."""
        parameters = list(self.network.parameters())
        distributed.all_reduce(parameter.grad for parameter in parameters if parameter.grad is not None)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(parameters, self.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)


class Update(NamedTuple):
    """A loss, the mean over the shard, and who learns from it."""

    loss: Tensor
    learners: tuple[Learner, ...]


Step = Generator[Update, None, Metrics]
"""A trainer's work on one shard: its updates, and its metrics in the end."""


def run_step(shards: list[Step], networks: list[nn.Module], distributed: DistributedContext) -> Metrics:
    """Take this rank's shards through one step, together from update to update.

    Args:
        shards: a trainer's work on each.
        networks: all that the trainer trains.
        distributed: the ranks that work on the other shards.

    Returns:
        The metrics, means over all shards of all ranks.
    """
    total = len(shards) * distributed.world_size
    while True:
        buffers = Buffers(networks) if total > 1 else None
        learners: tuple[Learner, ...] = ()
        finished: list[Metrics] = []
        for shard in shards:
            if buffers:
                buffers.restore()
            try:
                update = next(shard)
            except StopIteration as end:
                finished.append(end.value)
                continue
            if buffers:
                buffers.add()
            if not learners:
                learners = update.learners
                for learner in learners:
                    learner.zero_grad()
            (update.loss / total).backward()
        if finished:
            return _means(finished, total, distributed)
        if buffers:
            buffers.average(total, distributed)
        for learner in learners:
            learner.step(distributed)


def _means(metrics: list[Metrics], total: int, distributed: DistributedContext) -> Metrics:
    """Every rank must take part, and so learns of it when a metric of any is not finite."""
    sums = torch.tensor([sum(one[name] for one in metrics) for name in metrics[0]], dtype=torch.float64)
    sums = sums.to(distributed.device)
    distributed.all_reduce([sums])
    return dict(zip(metrics[0], (sums / total).tolist(), strict=True))
