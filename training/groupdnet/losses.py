"""Losses of GroupDNet: pure functions, means over batch, layers and cells unless said otherwise.

The paper's (section 3.4) are the hinge, feature matching, a perceptual loss and the KL divergence. Those of
ours: `pixel_loss`, `leak_loss`; and the features of the label segmenter stand in for VGG's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Layers = list[list[Tensor]]
"""A discriminator's features by scale and layer, the judgement of the patches last."""


def hinge_discriminator(real: Layers, fake: Layers) -> Tensor:
    """Real patches want to be judged above 1, fakes below -1."""
    terms = [F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def hinge_generator(fake: Layers) -> Tensor:
    """Fakes want to be judged real."""
    return -torch.stack([scale[-1].mean() for scale in fake]).mean()


def feature_matching(real: Layers, fake: Layers) -> Tensor:
    """L1 between the discriminator's features of images and of their reconstructions, summed over layers.

    No gradient flows into the real ones; judgements are left out.
    """
    scales = [
        torch.stack([F.l1_loss(f, r.detach()) for r, f in zip(rs[:-1], fs[:-1], strict=True)]).sum()
        for rs, fs in zip(real, fake, strict=True)
    ]
    return torch.stack(scales).mean()


def perceptual_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """L1 of a frozen network's features, in units of the real ones' standard deviation; mean of levels."""
    terms = [F.l1_loss(f, r) / r.std().clamp(min=1e-6) for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def pixel_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L1 of images `[B, 3, H, W]` and of their gradients, at full, half and quarter resolution."""
    terms = []
    for level in range(3):
        if level:
            real, fake = F.avg_pool2d(real, 2), F.avg_pool2d(fake, 2)
        terms.append(F.l1_loss(fake, real))
        terms += [F.l1_loss(fake.diff(dim=axis), real.diff(dim=axis)) for axis in (2, 3)]
    return torch.stack(terms).sum() / 3


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of the codes `[B, ...]` from N(0, 1): nats, summed over a sample's numbers."""
    nats = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
    return nats.flatten(1).sum(1).mean()


def leak_loss(images: Tensor, mixed: Tensor, kept: Tensor) -> Tensor:
    """What new codes of some styles change where the codes are kept.

    Args:
        images: with the codes as they were, `[B, 3, H, W]`; no gradient flows into them.
        mixed: with some codes replaced.
        kept: where pixels take a kept code, `[B, 1, H, W]`.
    """
    changed = (mixed - images.detach()).abs().mean(1, keepdim=True) * kept
    return changed.sum() / kept.sum().clamp(min=1)
