"""All samples through the encoder, in chunks that fit into memory, with a line of progress."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from training.groupdnet.samples import ImagePairs

CHUNK = 64
MIN_PIXELS = 12
"""A style counts as present in an image from this many pixels on."""


class Encodes(Protocol):
    """A network that reads codes: `GroupDNet` or `RelativeGroupDNet`."""

    def encode(self, images: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each `[B, styles, style_size]`."""

    def style_maps(self, maps: Tensor) -> Tensor:
        """One-hot maps `[B, classes, H, W]` by style, `[B, styles, H, W]`."""


class Pass:
    """How samples are gone through.

    Args:
        chunk: samples at a time.
        device: where.
        show_progress: draw a progress bar.
    """

    def __init__(
        self,
        chunk: int = CHUNK,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
        *,
        show_progress: bool = False,
    ) -> None:
        self.chunk, self.device, self.show_progress = chunk, device, show_progress

    def over(self, chosen: Tensor, title: str) -> Iterator[Tensor]:
        """Indices of samples `[N]` in chunks."""
        with tqdm(total=len(chosen), desc=title, unit="image", disable=not self.show_progress) as bar:
            for part in chosen.split(self.chunk):
                yield part
                bar.update(len(part))

    def codes(
        self, network: Encodes, pairs: ImagePairs, title: str
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of all samples, on the CPU.

        Yields:
            Mean codes float32 `[B, styles, style_size]`; whether each style is present, bool `[B, styles]`;
            the maps, one-hot float32 `[B, classes, H, W]` on the device.
        """
        for part in self.over(torch.arange(len(pairs)), title):
            with torch.no_grad():
                images, maps = pairs.batch(part, self.device)
                mean = network.encode(images, maps)[0].float().cpu()
                present = network.style_maps(maps).sum((2, 3)).cpu() >= MIN_PIXELS
            yield mean, present, maps
