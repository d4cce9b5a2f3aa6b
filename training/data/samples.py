"""Samples of a generator by seed: the seed alone reproduces latent and image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.generators.base import Generator

CHUNK = 256
"""Of 64 px images; fewer of larger ones."""


def latents_of(seeds: Iterable[int], latent_dim: int, scale: float) -> Tensor:
    """Latents of seeds as the gateway draws them: N(0, scale^2), NumPy's frozen `RandomState` (NEP 19).

    Returns:
        float32 `[N, latent_dim]`.
    """
    drawn = [np.random.RandomState(seed).standard_normal(latent_dim).astype(np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(drawn) * np.float32(scale))


@torch.inference_mode()
def images_of(generator: Generator, latents: Tensor) -> NDArray[np.uint8]:
    """Images of latents `[N, latent_dim]`: uint8 `[N, H, W, 3]`."""
    side = generator.image_size
    images = np.empty((len(latents), side, side, 3), np.uint8)
    chunk = chunk_size(side)
    for first in range(0, len(latents), chunk):
        some = latents[first : first + chunk].to(generator.device)
        images[first : first + chunk] = to_uint8(generator.images(some))
    return images


def chunk_size(image_size: int, at_64: int = CHUNK) -> int:
    """How many images of a size take the memory of `at_64` images of 64 px."""
    return max(1, at_64 * 64**2 // max(64, image_size) ** 2)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images `[N, 3, H, W]` in [-1, 1] to uint8 `[N, H, W, 3]`."""
    scaled = (images.float() * 127.5 + 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).byte().cpu().numpy()


def from_uint8(images: NDArray[np.uint8]) -> Tensor:
    """Uint8 `[N, H, W, 3]` to images `[N, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def in_chunks(images: NDArray[np.uint8], at_64: int) -> Iterator[Tensor]:
    """Uint8 `[N, H, W, 3]` as images `[n, 3, H, W]` in [-1, 1], as many at once as `chunk_size` says."""
    size = chunk_size(images.shape[1], at_64)
    for first in range(0, len(images), size):
        yield from_uint8(images[first : first + size])
