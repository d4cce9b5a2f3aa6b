"""Images with label maps, held in memory: what GroupDNet trains on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.labelled import load_split
from training.data.samples import CHUNK, images_of
from training.generators.base import Generator
from training.networks.one_hot import one_hot
from training.sis_ug.config import PackConfig


@dataclass(frozen=True, slots=True)
class ImagePairs:
    """Images and their label maps.

    Attributes:
        images: uint8 `[N, 3, H, W]`: a quarter of the memory that floats take.
        labels: uint8 `[N, H, W]`, class ids or IGNORED.
        classes: number of classes.
        mirror: whether they may be mirrored in training.
    """

    images: Tensor
    labels: Tensor
    classes: int
    mirror: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images `[B, 3, H, W]` in [-1, 1] and one-hot maps `[B, classes, H, W]` of samples `[B]`."""
        images = self.images[chosen].to(device).float() / 127.5 - 1
        return images, one_hot(self.labels[chosen].to(device), self.classes)


def load_pairs(config: PackConfig, generator: Generator, split: str, limit: int | None = None) -> ImagePairs:
    """The labelled samples of a pack with the generator's images of them, the first `limit` or all.

    Raises:
        FileNotFoundError: if the data has not been made.
        ValueError: if it was made for other seeds.
    """
    samples = load_split(config, generator, split)
    latents, labels = samples.latents[:limit], samples.labels[:limit]
    images = torch.empty(len(latents), 3, generator.image_size, generator.image_size, dtype=torch.uint8)
    for first in range(0, len(latents), CHUNK):
        drawn = images_of(generator, latents[first : first + CHUNK])
        images[first : first + CHUNK] = torch.from_numpy(drawn).permute(0, 3, 1, 2)
    return ImagePairs(images, labels, len(config.palette))
