"""The baseline: no rearranging; search the latent whose own image shows the label map.

After LinearGAN (Xu and Zheng, 2021), which is what SIS-UG's few-shot table compares with: the few-shot
segmenter is asked what a latent's image shows, and the latent follows the gradient. Ours differs in that it
starts at the latent whose style is wanted.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.runs.optimization import mixed_precision
from training.sis_ug.few_shot.views import Viewer

LEARNING_RATE = 0.05
"""As a share of the latents' scale."""
PRIOR = 0.01
"""Weight of the latents' mean square, in units of their scale: far out, images are no faces."""


def search_latents(
    viewer: Viewer, segmenter: nn.Module, labels: Tensor, latents: Tensor, scale: float, steps: int
) -> Tensor:
    """Latents `[B, latent_dim]` near those given, whose images are read as label maps `[B, H, W]`.

    Args:
        viewer: of the generator.
        segmenter: views to label logits.
        labels: what is wanted, integers.
        latents: to start from.
        scale: standard deviation of the latents' distribution.
        steps: of Adam.
    """
    found = (latents / scale).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([found], lr=LEARNING_RATE)
    for _ in range(steps):
        with mixed_precision(latents.device):
            logits = segmenter(viewer(found * scale)).float()
        # Summed over samples: none of them moves less for being in a larger batch.
        loss = F.cross_entropy(logits, labels.long(), reduction="none").mean((1, 2)).sum()
        loss = loss + PRIOR * (found**2).mean(1).sum()
        (found.grad,) = torch.autograd.grad(loss, [found])
        optimizer.step()
    return (found * scale).detach()
