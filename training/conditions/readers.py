"""Readers: sketches and scribbles to the label maps they stand for, which the mapper takes from there.

SIS-UG trains a mapper for each kind of condition. Ours are trained in two steps: what a drawing says of a
face can be learned from label maps alone, in minutes, and the mapper that was tuned with the rearranger
serves them all. The label map between can be shown to who drew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from training.networks.one_hot import one_hot
from training.networks.unet import FOLD, UNet

FULL_INK = 255
NOT_DRAWN = 255
"""The id of a scribble's pixels that nobody has drawn on."""


class Reader(nn.Module, ABC):
    """Drawings to label logits.

    Args:
        inputs: channels of an encoded drawing.
        classes: number of label classes.
        widths: channels of the U-Net's levels.
        fold: pixels per side of a drawing for each cell of the finest level.
    """

    def __init__(self, inputs: int, classes: int, widths: tuple[int, ...], fold: int = FOLD) -> None:
        super().__init__()
        self.classes = classes
        self.network = UNet(inputs, classes, widths, unfold=True, fold=fold)

    def forward(self, drawing: Tensor) -> Tensor:
        """Label logits `[B, classes, H, W]` of drawings uint8 `[B, H, W]`."""
        logits: Tensor = self.network(self.encode(drawing))
        return logits

    @abstractmethod
    def encode(self, drawing: Tensor) -> Tensor:
        """Drawings uint8 `[B, H, W]` as channels, float `[B, inputs, H, W]`."""


class SketchReader(Reader):
    """Sketches, ink from 0 to 255, to label logits."""

    def __init__(self, classes: int, widths: tuple[int, ...], fold: int = FOLD) -> None:
        super().__init__(1, classes, widths, fold)

    def encode(self, drawing: Tensor) -> Tensor:
        """Ink from 0 to 1."""
        return drawing[:, None].to(torch.float32) / FULL_INK


class ScribbleCompleter(Reader):
    """Scribbles, class ids and `NOT_DRAWN`, to label logits."""

    def __init__(self, classes: int, widths: tuple[int, ...], fold: int = FOLD) -> None:
        super().__init__(classes, classes, widths, fold)

    def encode(self, drawing: Tensor) -> Tensor:
        """One channel for each class; all 0 where nothing is drawn."""
        return one_hot(drawing, self.classes)
