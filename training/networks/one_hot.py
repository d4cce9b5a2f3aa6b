"""Class ids as one channel a class, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from training.config.palette import IGNORED


def one_hot(ids: Tensor, classes: int) -> Tensor:
    """Class ids `[B, H, W]` to float `[B, classes, H, W]`; all zero where an id is none of them."""
    return (ids[:, None].long() == torch.arange(classes, device=ids.device)[None, :, None, None]).float()


def class_ids(maps: Tensor) -> Tensor:
    """Maps `[B, classes, H, W]`, as of `one_hot`, to class ids `[B, H, W]`, IGNORED where there is none."""
    return torch.where(maps.sum(1) > 0, maps.argmax(1), IGNORED)
