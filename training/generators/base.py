"""What the rearranger needs of an unconditional generator, whatever its family.

SIS-UG cuts a frozen generator in two: the *head* turns a latent into feature maps, the *tail* turns the
(rearranged) feature maps at the cut into an image. The head keeps features at several resolutions: the
coarser ones are rearranged before the frozen blocks between them run again, and all of them feed the
clustering.

Two things differ between families. Some steer every block by *layer styles*, which are made of the latent
once and handed to whatever runs blocks. And some add up the image resolution by resolution beside the
features: such a *skip* travels as the last channels of the feature maps, so that nothing that moves features
can forget to move the image that was begun with them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

FeaturePyramid = dict[int, Tensor]
"""Feature maps by resolution r: float `[B, C_r, r, r]`."""


class Generator(nn.Module, ABC):
    """A frozen generator; none of its tensors require gradients.

    Attributes:
        latent_dim: length of a latent.
        image_size: pixels per side of an image.
        channels: channels of the feature map at each resolution from the head's coarsest on.
        skip_channels: how many of them, the last, are the image in the making (0: none).
        styles_shape: of the layer styles, without the batch; None if there are none.
    """

    latent_dim: int
    image_size: int
    channels: dict[int, int]
    skip_channels: int = 0
    styles_shape: tuple[int, int] | None = None

    def styles(self, latent: Tensor) -> Tensor | None:
        """Layer styles `[B, *styles_shape]` of latents `[B, latent_dim]`; None if the family has none."""
        del latent
        return None

    @abstractmethod
    def head(self, latent: Tensor, upto: int, styles: Tensor | None = None) -> FeaturePyramid:
        """Latents `[B, latent_dim]` to the feature maps of `channels` up to resolution `upto`.

        `styles`: the latents' layer styles, if they are there already.
        """

    @abstractmethod
    def block(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Run the frozen block that makes the features at `resolution` from those at half of it.

        Raises:
            ValueError: if the family has layer styles and none are given.
        """

    @abstractmethod
    def tail(self, features: Tensor, resolution: int, styles: Tensor | None = None) -> Tensor:
        """Features at `resolution` to images `[B, 3, image_size, image_size]` in [-1, 1].

        Raises:
            ValueError: if the family has layer styles and none are given.
        """

    @abstractmethod
    def in_range(self, features: Tensor) -> Tensor:
        """The nearest to `features` that a block can put out."""

    def without_skip(self, pyramid: FeaturePyramid) -> FeaturePyramid:
        """The feature maps alone, without the image in the making."""
        return {r: features[:, : features.shape[1] - self.skip_channels] for r, features in pyramid.items()}

    def sample(self, latent: Tensor, styles: Tensor | None = None) -> tuple[FeaturePyramid, Tensor]:
        """All feature maps of latents, and the generator's own images of them."""
        if styles is None:
            styles = self.styles(latent)
        top = max(self.channels)
        pyramid = self.head(latent, top, styles)
        return pyramid, self.tail(pyramid[top], top, styles)

    def images(self, latent: Tensor) -> Tensor:
        """The generator's own images of latents."""
        return self.sample(latent)[1]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.buffers()).device
