"""Fits the codes' Gaussians to what is present, class by class and pair by pair.

The code of a class that an image has not is a constant, and says nothing of the class. Were it counted, a
class of every third image would have half its true spread, one of every thirtieth a fifth. So a style's mean
and covariance are those of the images that show it, and what two styles have to do with each other is learnt
from the images that show both. Correlations that were found on different images need not make a covariance
together; the nearest one with the same spreads is taken.

Sums over chunks are all that is kept of the images. Two passes: spreads, then correlations in their units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.groupdnet.codes.encoding import Encodes, Pass
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.samples import ImagePairs

JITTER = 1e-4
"""Added to variances: covariances of codes that hardly vary can be singular."""
FLOOR = 1e-3
"""Least eigenvalue of a correlation matrix."""
FEWEST = 2
"""Images that a style needs for a Gaussian of its own; with fewer it stays N(0, 1)."""


@torch.no_grad()
def fit_prior(
    network: Encodes,
    pairs: ImagePairs,
    *,
    joint_spread: float,
    single_spread: float,
    how: Pass | None = None,
) -> StylePrior:
    """Fit the Gaussians to the codes of all samples.

    Args:
        network: trained.
        pairs: images to encode.
        joint_spread: of codes drawn together about their mean, as a share of what was found: below 1, the
            truncation of StyleGAN (Karras et al. 2019, appendix B).
        single_spread: the same of codes drawn each for itself.
        how: chunks and device.
    """
    how = how or Pass()
    spreads: Spreads | None = None
    for codes, present, _ in how.codes(network, pairs, "fit prior: spreads"):
        spreads = spreads or Spreads(*codes.shape[1:])
        spreads.add(codes, present)
    assert spreads is not None  # there are samples
    mean, roots = spreads.gaussians()
    prior = StylePrior(*mean.shape)
    ties = Ties(mean, roots, prior.shared)
    for codes, present, _ in how.codes(network, pairs, "fit prior: ties"):
        ties.add(codes, present)
    mixing = torch.linalg.cholesky(ties.correlations())
    spread_roots = joint_spread * roots
    prior.get_buffer("joint_mean").copy_(mean.flatten())
    if prior.whole:
        prior.get_buffer("joint_factor").copy_(torch.block_diag(*spread_roots) @ mixing)
    else:
        prior.get_buffer("joint_root").copy_(spread_roots)
        prior.get_buffer("joint_mixing").copy_(mixing)
    prior.get_buffer("style_mean").copy_(mean)
    prior.get_buffer("style_factor").copy_(single_spread * roots)
    return prior


class Spreads:
    """Mean and covariance of each style's codes, over the images that show it.

    Args:
        styles: number of codes.
        size: numbers of each.
    """

    def __init__(self, styles: int, size: int) -> None:
        self.counts = torch.zeros(styles, dtype=torch.float64)
        self.sums = torch.zeros(styles, size, dtype=torch.float64)
        self.squares = torch.zeros(styles, size, size, dtype=torch.float64)

    def add(self, codes: Tensor, present: Tensor) -> None:
        """Codes `[B, styles, size]`; which count, bool `[B, styles]`."""
        shown = (codes.double() * present[..., None]).transpose(0, 1)
        self.counts += present.sum(0)
        self.sums += shown.sum(1)
        self.squares += shown.transpose(1, 2) @ shown

    def gaussians(self) -> tuple[Tensor, Tensor]:
        """Means `[styles, size]` and roots of the covariances `[styles, size, size]`, float64.

        A root's columns are its principal axes, the widest first, as long as the standard deviation along
        them.
        """
        styles, size = self.sums.shape
        mean, roots = torch.zeros_like(self.sums), torch.eye(size, dtype=torch.float64).repeat(styles, 1, 1)
        for style in range(styles):
            count = self.counts[style]
            if count < FEWEST:
                continue
            mean[style] = self.sums[style] / count
            covariance = self.squares[style] / count - torch.outer(mean[style], mean[style])
            covariance = shrunk(covariance * count / (count - 1), int(count))
            values, axes = torch.linalg.eigh(covariance + JITTER * torch.eye(size, dtype=torch.float64))
            roots[style] = (axes * values.clamp(min=JITTER).sqrt()).flip(1)
        return mean, roots


class Ties:
    """Correlations between styles, over the images that show both.

    Args:
        mean: of the styles' codes, `[styles, size]`.
        roots: as of `Spreads.gaussians`.
        shared: leading components of each style that are looked at.
    """

    def __init__(self, mean: Tensor, roots: Tensor, shared: int) -> None:
        self.mean, self.shared = mean, shared
        self.units = torch.linalg.inv(roots)[:, :shared]
        styles = len(mean)
        self.counts = torch.zeros(styles, styles, dtype=torch.float64)
        self.products = torch.zeros(styles * shared, styles * shared, dtype=torch.float64)

    def add(self, codes: Tensor, present: Tensor) -> None:
        """As `Spreads.add`."""
        apart = (codes.double() - self.mean) * present[..., None]
        components = (self.units @ apart[..., None])[..., 0].flatten(1)
        self.products += components.T @ components
        known = present.double()
        self.counts += known.T @ known

    def correlations(self) -> Tensor:
        """Of all styles' leading components, positive definite, `[styles * shared] * 2`; own blocks are 1.

        What few images showed counts less: n of them as n / (n + shared) of what was found there.
        """
        weights = 1 / (self.counts + self.shared)
        found = self.products * weights.repeat_interleave(self.shared, 0).repeat_interleave(self.shared, 1)
        found = _with_own_blocks(found, self.shared)
        values, axes = torch.linalg.eigh(found)
        raised = (axes * values.clamp(min=FLOOR)) @ axes.T
        # Raising eigenvalues has widened styles: each is brought back to the spread it has.
        own = torch.stack([_block(raised, style, self.shared) for style in range(len(self.mean))])
        own_values, own_axes = torch.linalg.eigh(own)
        back = torch.block_diag(*(own_axes / own_values.sqrt()[:, None]) @ own_axes.transpose(1, 2))
        return _with_own_blocks(back @ raised @ back.T, self.shared)


def shrunk(covariance: Tensor, count: int) -> Tensor:
    """A covariance `[D, D]` of `count` vectors, drawn towards a sphere of the same total variance.

    Oracle approximating shrinkage, Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation" (2010):
    hardly anything where there are many more vectors than dimensions, nearly all where there are few.
    """
    size = len(covariance)
    trace, squared = covariance.trace(), covariance.square().sum()
    above = (1 - 2 / size) * squared + trace.square()
    below = (count + 1 - 2 / size) * (squared - trace.square() / size)
    share = 1.0 if below <= 0 else min(1.0, float(above / below))
    sphere = trace / size * torch.eye(size, dtype=covariance.dtype)
    return (1 - share) * covariance + share * sphere


def _block(matrix: Tensor, style: int, size: int) -> Tensor:
    own = slice(style * size, (style + 1) * size)
    return matrix[own, own]


def _with_own_blocks(matrix: Tensor, size: int) -> Tensor:
    """The same, symmetric, with the identity in each style's own block."""
    result = (matrix + matrix.T) / 2
    for style in range(len(matrix) // size):
        _block(result, style, size).copy_(torch.eye(size, dtype=matrix.dtype))
    return result
