"""Label maps as a network reads them off images, and images made harder to learn that from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.samples import in_chunks

CHUNK = 50
"""Of 64 px images; fewer of larger ones."""
LIGHT = 0.3
"""Images are made up to this much brighter or darker, and this share of contrast more or less ..."""
NOISE = 0.08
"""... and noise of up to this standard deviation is added: results are not as clean as samples."""


def read_label_maps(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The likeliest class of every pixel, uint8 `[N, H, W]`.

    Args:
        network: label logits `[B, classes, H, W]` of images in [-1, 1]; in evaluation mode.
        images: uint8 `[N, H, W, 3]`.
    """
    with torch.inference_mode():
        read = [network(chunk).argmax(1).byte() for chunk in in_chunks(images, CHUNK)]
    return torch.cat(read).numpy()


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images `[B, 3, H, W]` in [-1, 1] in another light, with noise; draws come from the generator (CPU)."""

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand(len(images), *shape, 1, 1, generator=generator)
        return (values * (high - low) + low).to(images.device)

    noise = torch.randn(images.shape, generator=generator).to(images.device) * drawn(0, NOISE, 1)
    lit = images * drawn(1 - LIGHT, 1 + LIGHT, 1) + drawn(-LIGHT, LIGHT, 3) + noise
    return lit.clamp(-1, 1)
