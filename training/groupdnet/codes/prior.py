"""The distribution of the codes, fitted after training.

The KL term leaves the codes far from N(0, 1), and drawing them from it gives blotches. Gaussians turn a
caller's N(0, 1) noise into codes: one over all styles together for whole images, whose parts then suit each
other, and one for each style alone. How they are fitted: `training.groupdnet.codes.prior_fit`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WHOLE = 2048
"""Numbers of codes up to which one matrix holds the joint Gaussian whole."""


class StylePrior(nn.Module):
    """Noise to codes.

    Where all codes together have more than `WHOLE` numbers, a matrix over all of them would take gigabytes
    (1.5 for ADE20K's 19 328). Then styles are tied by the leading `shared` principal components of each, and
    the others are drawn for each style by itself.

    Args:
        styles: number of codes.
        code: numbers of a code, its cells' together.
    """

    def __init__(self, styles: int, code: int) -> None:
        super().__init__()
        self.styles, self.code = styles, code
        size = styles * code
        self.whole = size <= WHOLE
        self.shared = code if self.whole else min(code, max(1, WHOLE // styles))
        self.register_buffer("joint_mean", torch.zeros(size))
        if self.whole:
            self.register_buffer("joint_factor", torch.eye(size))
        else:
            self.register_buffer("joint_root", torch.eye(code).repeat(styles, 1, 1))
            self.register_buffer("joint_mixing", torch.eye(styles * self.shared))
        self.register_buffer("style_mean", torch.zeros(styles, code))
        self.register_buffer("style_factor", torch.eye(code).repeat(styles, 1, 1))

    def joint(self, noise: Tensor) -> Tensor:
        """Codes of all styles that suit each other, `[B, styles, code]`, of noise `[B, styles * code]`."""
        mean = self.get_buffer("joint_mean")
        if self.whole:
            codes = noise @ self.get_buffer("joint_factor").T + mean
            whole: Tensor = codes.unflatten(1, (self.styles, self.code))
            return whole
        by_style = noise.unflatten(1, (self.styles, self.code))
        tied = by_style[:, :, : self.shared].flatten(1) @ self.get_buffer("joint_mixing").T
        parts = torch.cat([tied.unflatten(1, (self.styles, self.shared)), by_style[:, :, self.shared :]], 2)
        codes = _turned(self.get_buffer("joint_root"), parts).flatten(1) + mean
        tied_codes: Tensor = codes.unflatten(1, (self.styles, self.code))
        return tied_codes

    def single(self, noise: Tensor) -> Tensor:
        """Codes each drawn for itself, `[B, styles, code]`, of noise `[B, styles * code]`."""
        by_style = noise.unflatten(1, (self.styles, self.code))
        return _turned(self.get_buffer("style_factor"), by_style) + self.get_buffer("style_mean")

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`joint` and `single` of the same noise."""
        return self.joint(noise), self.single(noise)


def _turned(factors: Tensor, vectors: Tensor) -> Tensor:
    """Factors `[styles, code, code]` times vectors `[B, styles, code]`."""
    turned: Tensor = (factors @ vectors[..., None])[..., 0]
    return turned
