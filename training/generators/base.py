"""What the rearranger needs of an unconditional generator, whatever its family.

SIS-UG cuts a frozen generator in two: the *head* turns a latent into feature maps, the *tail* turns the
(rearranged) feature maps at the cut into a picture. The head keeps features at several resolutions: the
coarser ones are rearranged before the frozen blocks between them run again, and all of them feed the
clustering.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

FeaturePyramid = dict[int, Tensor]
"""Feature maps by resolution r: float `[B, C_r, r, r]`."""


class Generator(nn.Module, ABC):
    """A frozen generator; none of its tensors require gradients.

    Attributes:
        latent_dim: length of a latent.
        image_size: pixels per side of a picture.
        channels: channels of the feature map at each resolution from the head's coarsest on.
    """

    latent_dim: int
    image_size: int
    channels: ClassVar[dict[int, int]]

    @abstractmethod
    def head(self, latent: Tensor, upto: int) -> FeaturePyramid:
        """Latents `[B, latent_dim]` to the feature maps of `channels` up to resolution `upto`."""

    @abstractmethod
    def block(self, features: Tensor, resolution: int) -> Tensor:
        """Run the frozen block that makes the features at `resolution` from those at half of it."""

    @abstractmethod
    def tail(self, features: Tensor, resolution: int) -> Tensor:
        """Features at `resolution` to pictures `[B, 3, image_size, image_size]` in [-1, 1]."""

    def sample(self, latent: Tensor) -> tuple[FeaturePyramid, Tensor]:
        """All feature maps of latents, and the generator's own pictures of them."""
        top = max(self.channels)
        pyramid = self.head(latent, top)
        return pyramid, self.tail(pyramid[top], top)

    def pictures(self, latent: Tensor) -> Tensor:
        """The generator's own pictures of latents."""
        return self.sample(latent)[1]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.buffers()).device
