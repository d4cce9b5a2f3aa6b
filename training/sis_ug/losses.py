"""Losses of the rearranger and the mapper: pure functions, means over batch and cells."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.generators.base import FeaturePyramid

MIN_CELLS = 4
"""A region counts as present in an image from this many cells on."""


def mask_loss(result_logits: Tensor, target_logits: Tensor) -> Tensor:
    """KL divergence from the result's proxy mask to the target's, as the segmenter reads them.

    SIS-UG's mask loss with soft targets, which teach more than the noisy hard clusters.

    Args:
        result_logits: of the rearranged image, `[B, K, m, m]`.
        target_logits: of the sample the target mask comes from, `[B, K, m, m]`; no gradient flows into it.
    """
    target = target_logits.detach().log_softmax(1)
    return F.kl_div(result_logits.log_softmax(1), target, reduction="none", log_target=True).sum(1).mean()


def style_loss(source: Tensor, source_mask: Tensor, result: Tensor, result_mask: Tensor) -> Tensor:
    """L1 between the mean colours of source and result, region by region, over regions present in both.

    Args:
        source: images `[B, 3, H, W]`.
        source_mask: its regions (clusters or classes), one-hot `[B, K, m, m]`.
        result: images `[B, 3, H, W]`.
        result_mask: its regions, one-hot `[B, K, m, m]`.

    Returns:
        One number a pair, `[B]`.
    """
    wanted, in_source = _mean_colors(source.detach(), source_mask)
    found, in_result = _mean_colors(result, result_mask)
    present = ((in_source >= MIN_CELLS) & (in_result >= MIN_CELLS)).float()
    difference = (wanted - found).abs().mean(1)
    return (difference * present).sum(1) / present.sum(1).clamp(min=1)


def _mean_colors(images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colour `[B, 3, K]` and cell count `[B, K]` of every region."""
    cells = F.adaptive_avg_pool2d(images, (mask.shape[-2], mask.shape[-1])).flatten(2)
    members = mask.flatten(2)
    counts = members.sum(2)
    return cells @ members.transpose(1, 2) / counts.clamp(min=1e-3)[:, None], counts


def feature_loss(result: FeaturePyramid, source: FeaturePyramid, weights: dict[int, float]) -> Tensor:
    """Self-reconstruction of features: weighted L1, in units of the features' standard deviation."""
    terms = [
        weight * ((result[r] - source[r]).abs().mean() / source[r].std().clamp(min=1e-6))
        for r, weight in weights.items()
    ]
    return torch.stack(terms).sum()


def discriminator_loss(real: tuple[Tensor, Tensor], real_mask: Tensor, fake: tuple[Tensor, Tensor]) -> Tensor:
    """Cells of real images belong to their cluster, cells of fakes to "fake"; plus a global term (OASIS).

    Args:
        real: cell logits `[B, K+1, m, m]` and global logits `[B]` of real images.
        real_mask: their proxy masks, int64 `[B, m, m]`.
        fake: logits of generated images.
    """
    cells, whole = real
    fake_cells, fake_whole = fake
    fake_class = torch.full_like(real_mask[:1], cells.shape[1] - 1).expand(len(fake_cells), -1, -1)
    return (
        F.cross_entropy(cells, real_mask)
        + F.cross_entropy(fake_cells, fake_class)
        + F.softplus(-whole).mean()
        + F.softplus(fake_whole).mean()
    )


def adversarial_loss(fake: tuple[Tensor, Tensor], target_mask: Tensor) -> Tensor:
    """The generator's side: fakes want to be read as their target masks, int64 `[B, m, m]`."""
    cells, whole = fake
    return F.cross_entropy(cells, target_mask) + F.softplus(-whole).mean()
