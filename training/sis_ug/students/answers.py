"""What teachers answer, asked when first wanted and kept in memory: a student sees each batch several times.

Asking costs several times what a student's step does. A batch is drawn from its number alone, so a resumed
run asks the same questions again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.runs.updates import shard_generator

Tensors = dict[str, Tensor]
Ask = Callable[[torch.Generator], Tensors]
"""Draws a batch with the generator and gives questions and answers by name, batch first."""


class Answers:
    """Batches of questions with the teachers' answers; numbers are kept in half precision.

    Args:
        ask: draws a batch and asks.
        batches: how many different ones there are.
        device: where they are wanted.
    """

    def __init__(self, ask: Ask, batches: int, device: torch.device) -> None:
        self._ask, self._batches, self._device = ask, batches, device
        self._known: dict[int, Tensors] = {}

    def draw(self, random: torch.Generator) -> Tensors:
        """Any of the batches."""
        return self[int(torch.randint(self._batches, (1,), generator=random))]

    def __getitem__(self, number: int) -> Tensors:
        """A batch by its number: floats in single precision, integers as they were."""
        if number not in self._known:
            with torch.no_grad():
                self._known[number] = {
                    name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
                    for name, tensor in self._ask(shard_generator(0, number, 0)).items()
                }
        return {
            name: (tensor.float() if tensor.is_floating_point() else tensor).to(self._device)
            for name, tensor in self._known[number].items()
        }
