"""What trainers optimise with: precision, memory layout, moving averages, learning rates."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.runs.updates import Precision

Tensors = tuple[Tensor, ...] | list[Tensor]


Network = TypeVar("Network", bound=nn.Module)


def mixed_precision(device: torch.device, precision: Precision = "auto") -> torch.autocast:
    """Autocast to bfloat16: "bf16" always, "32" never.

    "auto": where there are instructions for it; elsewhere it takes ten times as long.
    """
    capable = device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    enabled = capable if precision == "auto" else precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def place(network: Network, device: torch.device) -> Network:
    """Move a network to where it trains, in the memory layout convolutions are fastest in."""
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    return network


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of weights and buffers, over a shorter window in the first steps."""

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)  # counters of batch norms
            return
        done = int(count)
        kept = min(decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    # All tensors at once: one after the other, a GPU would wait for the CPU at each.
    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.requires_grad_(False)
    return average.eval()


def warm_cosine(step: int, steps: int, floor: float = 0.02) -> float:
    """Factor on the learning rate: linear warm-up over at most 100 steps, then half a cosine to `floor`."""
    warm_up = min(100, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(progress * math.pi))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
