"""The distribution of the codes, fitted after training.

The KL term leaves the codes far from N(0, 1), and drawing them from it gives blotches. Gaussians fitted to
the codes of the training pictures, told as departures from what their maps lead to expect, turn a caller's
N(0, 1) noise into codes: one over all styles together for whole faces, whose parts then suit each other, and
one for each style alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.groupdnet.expectation import RelativeGroupDNet
from training.groupdnet.samples import PicturePairs

BATCH = 64
MIN_PIXELS = 12
"""A style counts as present in a picture from this many pixels on."""
JITTER = 1e-4
"""Added to variances: covariances of codes that hardly vary can be singular."""


class StylePrior(nn.Module):
    """Noise to codes.

    Args:
        styles: number of codes.
        code: numbers of a code, its cells' together.
    """

    def __init__(self, styles: int, code: int) -> None:
        super().__init__()
        self.styles, self.code = styles, code
        size = styles * code
        self.register_buffer("joint_mean", torch.zeros(size))
        self.register_buffer("joint_factor", torch.eye(size))
        self.register_buffer("style_mean", torch.zeros(styles, code))
        self.register_buffer("style_factor", torch.eye(code).repeat(styles, 1, 1))

    def joint(self, noise: Tensor) -> Tensor:
        """Codes of all styles that suit each other, `[B, styles, code]`, of noise `[B, styles * code]`."""
        codes = noise @ self.get_buffer("joint_factor").T + self.get_buffer("joint_mean")
        by_style: Tensor = codes.unflatten(1, (self.styles, self.code))
        return by_style

    def single(self, noise: Tensor) -> Tensor:
        """Codes each drawn for itself, `[B, styles, code]`, of noise `[B, styles * code]`."""
        columns = noise.unflatten(1, (self.styles, self.code))[..., None]
        turned: Tensor = (self.get_buffer("style_factor") @ columns)[..., 0]
        return turned + self.get_buffer("style_mean")

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`joint` and `single` of the same noise."""
        return self.joint(noise), self.single(noise)


@torch.no_grad()
def fit_prior(
    network: RelativeGroupDNet, pairs: PicturePairs, *, joint_spread: float, single_spread: float
) -> StylePrior:
    """Fit the Gaussians to the codes of all samples.

    Args:
        network: trained.
        pairs: pictures to encode.
        joint_spread: of codes drawn together about their mean, as a share of what was found: below 1, the
            truncation of StyleGAN (Karras et al. 2019, appendix B).
        single_spread: the same of codes drawn each for itself.

    A style's own Gaussian leaves out the pictures without it; where it is (almost) never there it stays
    N(0, 1).
    """
    codes, present = encode_all(network, pairs)
    prior = StylePrior(codes.shape[1], codes.shape[2])
    mean, factor = gaussian(codes.flatten(1))
    prior.get_buffer("joint_mean").copy_(mean)
    prior.get_buffer("joint_factor").copy_(joint_spread * factor)
    for style in range(prior.styles):
        own = codes[present[:, style], style]
        if len(own) > prior.code:
            mean, factor = gaussian(own)
            prior.get_buffer("style_mean")[style] = mean
            prior.get_buffer("style_factor")[style] = single_spread * factor
    return prior


@torch.no_grad()
def encode_all(network: RelativeGroupDNet, pairs: PicturePairs) -> tuple[Tensor, Tensor]:
    """Mean codes `[N, styles, numbers]` of all samples; whether each style is present, bool `[N, styles]`."""
    codes, present = [], []
    device = next(network.parameters()).device
    for chosen in torch.arange(len(pairs)).split(BATCH):
        pictures, maps = pairs.batch(chosen, device)
        codes.append(network.encode(pictures, maps)[0].cpu())
        present.append(network.style_maps(maps).sum((2, 3)).cpu() >= MIN_PIXELS)
    return torch.cat(codes), torch.cat(present)


def gaussian(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[D]` and Cholesky factor of the covariance `[D, D]` of vectors `[N, D]`."""
    exact = vectors.double()
    covariance = torch.atleast_2d(exact.T.cov()) + JITTER * torch.eye(exact.shape[1], dtype=torch.float64)
    return exact.mean(0).float(), torch.linalg.cholesky(covariance).float()
