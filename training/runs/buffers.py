"""Running statistics of networks, such as those of batch norms, when a batch is worked on in shards.

Every shard's forward pass moves them its own way. Each pass is therefore begun with what they were before the
batch, and in the end they become the mean of what the passes left.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.runs.distributed import DistributedContext


class Buffers:
    """The buffers of networks in the course of one update.

    A shard's backward pass may still need the tensors that its forward pass met, while another shard's
    begins: the generator's graph of a GAN outlives the discriminator's update. So no buffer is ever written
    to here: its module is given another tensor. Counters count the batch once, as if it were undivided.
    Moving averages follow their networks after the update, and are left alone.

    Args:
        networks: as they are before the first shard's pass.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self._places: list[tuple[nn.Module, str]] = [
            (module, name)
            for network in networks
            if not isinstance(network, AveragedModel)
            for module in network.modules()
            for name, buffer in module.named_buffers(recurse=False)
            if buffer is not None
        ]
        self._before = [buffer.clone() for buffer in self._present()]
        self._sums = [torch.zeros_like(before) for before in self._before if _moves(before)]

    @torch.no_grad()
    def restore(self) -> None:
        """Before a shard's pass: what they were before the batch."""
        for (module, name), before in zip(self._places, self._before, strict=True):
            module._buffers[name] = before.clone()

    @torch.no_grad()
    def add(self) -> None:
        """After a shard's pass: note what it left."""
        for total, statistic in zip(self._sums, self._statistics(), strict=True):
            total.add_(statistic)

    @torch.no_grad()
    def average(self, shards: int, distributed: DistributedContext) -> None:
        """After the last pass: take the mean of what all shards of all ranks left.

        Args:
            shards: how many, in all ranks.
            distributed: the ranks.
        """
        distributed.all_reduce(self._sums)
        moving = [place for place, before in zip(self._places, self._before, strict=True) if _moves(before)]
        for (module, name), total in zip(moving, self._sums, strict=True):
            module._buffers[name] = total / shards

    def _present(self) -> list[Tensor]:
        return [module.get_buffer(name) for module, name in self._places]

    def _statistics(self) -> list[Tensor]:
        return [buffer for buffer in self._present() if _moves(buffer)]


def _moves(buffer: Tensor) -> bool:
    """Whether it is a statistic; others count batches."""
    return buffer.is_floating_point()
