"""Running statistics of networks, such as those of batch norms, when a batch is worked on in shards.

Every shard's forward pass moves them its own way. Each pass is therefore begun with what they were before the
batch, and in the end they become the mean of what the passes left.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.team import Team


class Buffers:
    """The buffers of networks in the course of one update.

    Counters count the batch once, as if it were undivided. Moving averages follow their networks after the
    update, and are left alone here.

    Args:
        networks: as they are before the first shard's pass.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self._all: list[Tensor] = [
            buffer
            for network in networks
            if not isinstance(network, AveragedModel)
            for buffer in network.buffers()
        ]
        self._before = [buffer.clone() for buffer in self._all]
        self._statistics = [buffer for buffer in self._all if buffer.is_floating_point()]
        self._sums = [torch.zeros_like(buffer) for buffer in self._statistics]

    @torch.no_grad()
    def restore(self) -> None:
        """Before a shard's pass: what they were before the batch."""
        for buffer, before in zip(self._all, self._before, strict=True):
            buffer.copy_(before)

    @torch.no_grad()
    def add(self) -> None:
        """After a shard's pass: note what it left."""
        for total, statistic in zip(self._sums, self._statistics, strict=True):
            total.add_(statistic)

    @torch.no_grad()
    def average(self, shards: int, team: Team) -> None:
        """After the last pass: take the mean of what all shards of all ranks left.

        Args:
            shards: how many, in all ranks.
            team: the ranks.
        """
        team.add_up(self._sums)
        for statistic, total in zip(self._statistics, self._sums, strict=True):
            statistic.copy_(total / shards)
