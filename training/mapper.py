"""Semantic mappers: a condition and the source's proxy histogram in, a target proxy mask out.

SIS-UG's mapper closes the gap between what people draw and what the generator's features cluster into.
Clusters know light and texture as well as parts, so one label map has many fitting proxy masks: which
clusters to use is told by the *histogram* of the source's own proxy mask, times a *style strength* in [0, 1].
Without it every face gets the commonest clusters (ours; the paper's mapper sees the condition alone).

Each kind of condition has its mapper, and all share generator and rearranger. Scribbles have none: they are
completed to a label map first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from training.unet import UNet, one_hot

HISTOGRAM_GAIN = 2.0
FULL_INK = 255
NOT_DRAWN = 255
"""The id of a scribble's pixels that nobody has drawn on."""


class SemanticMapper(nn.Module, ABC):
    """Conditions to proxy logits.

    Args:
        inputs: channels of an encoded condition.
        clusters: number of proxy clusters K.
        widths: channels of the U-Net's levels, from half the condition's resolution on.
    """

    def __init__(self, inputs: int, clusters: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.network = UNet(inputs, clusters, widths, context=clusters)

    def forward(self, condition: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """Proxy logits `[B, K, m, m]`.

        Args:
            condition: as `encode` takes it, `[B, 2m, 2m]`.
            histogram: share of each cluster in the source's proxy mask, float `[B, K]`, rows summing to 1.
            strength: style strength, float `[B, 1]` in [0, 1].
        """
        context = HISTOGRAM_GAIN * histogram.clamp(min=0).sqrt() * strength
        logits: Tensor = self.network(self.encode(condition), context)
        return logits

    @abstractmethod
    def encode(self, condition: Tensor) -> Tensor:
        """Conditions `[B, 2m, 2m]` as channels, float `[B, inputs, 2m, 2m]`."""


class LabelMapMapper(SemanticMapper):
    """Label maps, class ids of any integer dtype, to proxy logits."""

    def __init__(self, classes: int, clusters: int, widths: tuple[int, ...]) -> None:
        super().__init__(classes, clusters, widths)
        self.classes = classes

    def encode(self, condition: Tensor) -> Tensor:
        """One channel for each class."""
        return one_hot(condition, self.classes)


class SketchMapper(SemanticMapper):
    """Sketches, ink from 0 to 255, to proxy logits."""

    def __init__(self, clusters: int, widths: tuple[int, ...]) -> None:
        super().__init__(1, clusters, widths)

    def encode(self, condition: Tensor) -> Tensor:
        """Ink from 0 to 1."""
        return condition[:, None].to(torch.float32) / FULL_INK


class ScribbleCompleter(nn.Module):
    """Scribbles to the logits of whole label maps (ours; the label map's mapper goes on from there).

    Args:
        classes: number of label classes.
        widths: channels of the U-Net's levels, from half the scribble's resolution on.
    """

    def __init__(self, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.classes = classes
        self.network = UNet(classes, classes, widths, unfold=True)

    def forward(self, scribble: Tensor) -> Tensor:
        """Label logits `[B, classes, H, W]` of class ids `[B, H, W]`, where `NOT_DRAWN` is no class."""
        logits: Tensor = self.network(one_hot(scribble, self.classes))
        return logits


def proxy_histogram(masks: Tensor, clusters: int) -> Tensor:
    """Share of each cluster, float `[B, K]`, in proxy masks, int `[B, m, m]`."""
    return one_hot(masks, clusters).mean((2, 3))


def straight_through_argmax(logits: Tensor) -> Tensor:
    """Each cell's likeliest id, one-hot, with the softmax's gradient: `[B, K, m, m]`, as the logits."""
    soft = logits.softmax(1)
    return one_hot(soft.argmax(1), logits.shape[1]) + soft - soft.detach()
