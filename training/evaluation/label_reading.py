"""How well a pack's label segmenter, which is served as its label reader, reads images.

What it reads is compared with label maps of the kind that it learned from: of a pack with a labeller, that
labeller's own.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from training.config.palette import Palette
from training.data.reading import read_label_maps
from training.evaluation.metrics import Agreement, agreement
from training.groupdnet.samples import ImagePairs


def label_reading(network: nn.Module, pairs: ImagePairs) -> Agreement:
    """How far what a network reads agrees with the label maps of pairs.

    Args:
        network: label logits `[B, classes, H, W]` of images in [-1, 1]; in evaluation mode.
        pairs: images and their label maps.
    """
    images = np.ascontiguousarray(pairs.images.permute(0, 2, 3, 1).numpy())
    return agreement(pairs.labels.numpy(), read_label_maps(network, images), pairs.classes)


def as_markdown(found: Agreement, palette: Palette, images: int) -> str:
    """A table of the figures."""
    shares = " | ".join("-" if iou is None else f"{iou:.2f}" for iou in found.iou)
    return (
        f"Label reader, {images} images:\n\n| accuracy | mIoU | {' | '.join(palette.names)} |\n"
        f"|---|---|{'---|' * len(palette)}\n| {found.accuracy:.3f} | {found.miou:.3f} | {shares} |"
    )
