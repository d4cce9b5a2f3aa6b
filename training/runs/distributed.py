"""The processes that carry out a run together, one a device: what they tell each other, and how they start.

Lightning Fabric starts them on one machine; on several, and wherever torchrun has started them, it finds its
place among them. Networks are not wrapped: what ranks share are sums, and every sum is taken here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Value = TypeVar("Value")


class DistributedContext:
    """All processes (*ranks*) of a run, as one of them sees them.

    Args:
        fabric: launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.rank, self.world_size = fabric.global_rank, fabric.world_size

    @property
    def is_main(self) -> bool:
        """Whether this is the one rank that writes files."""
        return self.rank == 0

    @property
    def device(self) -> str:
        """The device of this rank, such as "cpu" or "cuda:1"."""
        return str(self._fabric.device)

    @torch.no_grad()
    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its sum over the ranks, all of them in one message.

        They must be of one dtype and device, and of the same shapes in every rank.
        """
        own = list(tensors)
        if self.world_size == 1 or not own:
            return
        total = self._fabric.all_reduce(torch.cat([tensor.reshape(-1) for tensor in own]), reduce_op="sum")
        assert isinstance(total, Tensor)
        for tensor, part in zip(own, total.split([tensor.numel() for tensor in own]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def broadcast(self, value: Value) -> Value:
        """The main rank's value, in every rank."""
        return self._fabric.broadcast(value)

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self._fabric.barrier()


@cache
def single_process() -> DistributedContext:
    """The context of a run in this process only; starts nothing."""
    return launch("cpu")


def launch(device: str, devices: int = 1, nodes: int = 1) -> DistributedContext:
    """Start the other ranks of this machine, if nothing else has, and meet those of all machines.

    The others run the same command from its beginning, up to here.

    Args:
        device: "cpu" or "cuda".
        devices: ranks on each machine, each with a device of its own.
        nodes: machines.

    Raises:
        ValueError: if the machine has fewer devices, or torchrun has started another number of ranks.
    """
    # Not above: it takes as long to import as torch, which evaluation and export need not wait for.
    from lightning_fabric import Fabric  # noqa: PLC0415
    from lightning_fabric.plugins.environments.torchelastic import (  # noqa: PLC0415
        TorchElasticEnvironment,
    )

    started = TorchElasticEnvironment().world_size() if TorchElasticEnvironment.detect() else None
    if started not in (None, devices * nodes):
        raise ValueError(
            f"--devices {devices} and --nodes {nodes}: that makes {devices * nodes} processes, but torchrun "
            f"has started {started}; their product must be that number"
        )
    if device == "cuda" and devices > torch.cuda.device_count():
        raise ValueError(f"--devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices")
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
    )
    fabric.launch()
    return DistributedContext(fabric)


def broadcast_weights(networks: list[nn.Module], distributed: DistributedContext) -> None:
    """Let every rank begin with the main rank's weights, however it came by its own."""
    for network in networks:
        own = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        network.load_state_dict(distributed.broadcast(own))


def convert_sync_batch_norms(networks: list[nn.Module], distributed: DistributedContext) -> None:
    """Make batch norms of several GPUs `SyncBatchNorm`s, which normalise by the batch of all.

    That has no CPU form: there, as in micro-batches, each shard is normalised by itself. Weights and
    statistics keep their names. Moving averages are left alone, as they are only ever evaluated.
    """
    if torch.device(distributed.device).type != "cuda":
        return
    for network in networks:
        if not isinstance(network, AveragedModel):
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
