"""How far images are from each other, and sets of them from real ones: distances of features.

"Real" are images of the distribution that was trained on, which need not be photographs. Every figure,
the floor too, is between as many images: half of the results and the other half of the real ones, and the
other way round. Then none is compared with an image whose label map or style it has, and the Fréchet
distance, which grows when images are few, has grown everywhere alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr, svdvals
from torch import Tensor
from torch.nn import functional as F

from training.data.samples import chunk_size, in_chunks

Images = NDArray[np.uint8]
Vectors = NDArray[np.float64]
"""Features, `[N, D]`."""
Features = Callable[[Images], Vectors]
"""Of images, uint8 `[N, H, W, 3]`."""

FLOOR = "real, other half"
CHUNK = 50
"""Of 64 px images; fewer of larger ones."""
SUBSETS = 100
SUBSET_SIZE = 100
INCEPTION_LAYER = "2048"

JUDGE_FEATURES = "the judge"
INCEPTION = "Inception (FID, KID)"


@dataclass(frozen=True, slots=True)
class Distance:
    """Of images from real ones.

    Attributes:
        images: on either side.
        frechet: Fréchet distance.
        kernel: kernel distance; unbiased, so that it can be slightly below 0 where there is none.
        kernel_deviation: standard deviation of that over its subsets.
    """

    images: int
    frechet: float
    kernel: float
    kernel_deviation: float


Distances = dict[str, dict[str, Distance]]
"""By kind of features and name of the row; the floor first."""


class RealImages:
    """What images are compared with.

    Args:
        images: real ones, uint8 `[N, H, W, 3]`; at least four.
        features: by which they are compared.
    """

    def __init__(self, images: Images, features: Features) -> None:
        self._features = features
        self._first, self._second = _halves(features(images))

    def floor(self) -> Distance:
        """Of real images from other real ones."""
        return _distance(self._first, self._second)

    def distance(self, images: Images) -> Distance:
        """Of as many other images, uint8 `[N, H, W, 3]`; mean of both ways to pair the halves."""
        first, second = _halves(self._features(images))
        ways = _distance(first, self._second), _distance(second, self._first)
        _, *figures = np.mean([astuple(way) for way in ways], axis=0).tolist()
        return Distance(len(first), *figures)


class Encoder(Protocol):
    """A network that has features of images, such as a U-Net or the judge."""

    def encode_features(self, pixels: Tensor, /) -> list[Tensor]:
        """Features `[B, C, r, r]` of every level, finest first, of images in [-1, 1]."""


def network_features(network: Encoder) -> Features:
    """A network's features at its bottleneck, means over cells."""

    def features(images: Images) -> Vectors:
        with torch.inference_mode():
            chunks = in_chunks(images, CHUNK)
            means = [network.encode_features(chunk)[-1].mean((2, 3)) for chunk in chunks]
        return torch.cat(means).double().numpy()

    return features


def inception_features() -> Features:
    """The features of the standard FID, by torch-fidelity, which loads the weights of its Inception.

    Raises:
        FileNotFoundError: if the package is not installed or the weights cannot be had; says which.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: PLC0415
    except ImportError as error:
        raise FileNotFoundError(
            f"torch-fidelity is not installed ({error}): pip install torch-fidelity"
        ) from None
    try:
        network = FeatureExtractorInceptionV3("inception", [INCEPTION_LAYER])
    except OSError as error:  # of the download
        raise FileNotFoundError(f"the weights of Inception cannot be loaded ({error})") from None

    def features(images: Images) -> Vectors:
        with torch.inference_mode():
            chunks = torch.from_numpy(images).permute(0, 3, 1, 2).split(chunk_size(images.shape[1], CHUNK))
            return torch.cat([network(chunk)[0] for chunk in chunks]).double().numpy()

    return features


def feature_distance(network: Encoder, first: Tensor, second: Tensor) -> float:
    """Distance of images `[N, 3, H, W]` in the manner of LPIPS, without learned weights.

    Squared differences of a network's features, each cell's vector at length 1, summed over channels, means
    over cells, levels and pairs.
    """
    terms = []
    chunk = chunk_size(min(first.shape[2:]), CHUNK)
    for a, b in zip(first.split(chunk), second.split(chunk), strict=True):
        levels = zip(network.encode_features(a), network.encode_features(b), strict=True)
        apart = [(F.normalize(x) - F.normalize(y)).square().sum(1).mean((1, 2)) for x, y in levels]
        terms.append(torch.stack(apart).mean(0))
    return float(torch.cat(terms).mean())


def frechet_distance(first: Vectors, second: Vectors) -> float:
    """Fréchet distance between Gaussians fitted to two sets of feature vectors `[N, D]` and `[M, D]`.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), on whatever features are given. With
    covariances A^T A and B^T B, the trace of the root of their product is the sum of the singular values of
    A B^T: exact where there are fewer vectors than dimensions, too, where a matrix's root is not.
    """
    difference = first.mean(0) - second.mean(0)
    a, b = _covariance_root(first), _covariance_root(second)
    overlap = svdvals(a @ b.T).sum()
    return float(difference @ difference + np.square(a).sum() + np.square(b).sum() - 2 * overlap)


def kernel_distance(
    first: Vectors,
    second: Vectors,
    *,
    size: int = SUBSET_SIZE,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance of two sets of feature vectors `[N, D]` and `[M, D]`: mean and deviation over subsets.

    The unbiased estimate of the squared maximum mean discrepancy under the kernel (x . y / D + 1)^3;
    Bińkowski et al., "Demystifying MMD GANs" (2018).

    Args:
        first: one set.
        second: the other.
        size: vectors of each set in a subset; all where there are fewer.
        subsets: how many are drawn.
        seed: of the draws.
    """
    within_first, within_second, across = (
        (x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((first, first), (second, second), (first, second))
    )
    size = min(size, *across.shape)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        i, j = (random.choice(count, size, replace=False) for count in across.shape)
        found.append(
            _mean_of_pairs(within_first[np.ix_(i, i)])
            + _mean_of_pairs(within_second[np.ix_(j, j)])
            - 2 * across[np.ix_(i, j)].mean()
        )
    return float(np.mean(found)), float(np.std(found))


def measure(real: Images, rows: Mapping[str, Images], by: Mapping[str, Features]) -> Distances:
    """The floor, and each row's distance from the real images; all are uint8 `[N, H, W, 3]`."""
    found: Distances = {}
    for kind, features in by.items():
        reference = RealImages(real, features)
        found[kind] = {FLOOR: reference.floor()}
        found[kind] |= {name: reference.distance(images) for name, images in rows.items()}
    return found


def as_markdown(distances: Distances) -> str:
    """A table for each kind of features."""
    lines = []
    for kind, rows in distances.items():
        count = next(iter(rows.values())).images
        lines += [
            "",
            f"Distance to real images, held-out ones of the kind trained on, {count} against {count}, "
            f"by features of {kind} (kernel distances times 1000, ± over subsets):",
            "",
            "| | Fréchet | kernel |",
            "|---|---|---|",
        ]
        lines += [
            f"| {name} | {one.frechet:.3f} | {1000 * one.kernel:.1f} ± {1000 * one.kernel_deviation:.1f} |"
            for name, one in rows.items()
        ]
    return "\n".join(lines)


def _halves(vectors: Vectors) -> tuple[Vectors, Vectors]:
    half = len(vectors) // 2
    return vectors[:half], vectors[-half:]


def _distance(first: Vectors, second: Vectors) -> Distance:
    return Distance(len(first), frechet_distance(first, second), *kernel_distance(first, second))


def _covariance_root(vectors: Vectors) -> Vectors:
    """A matrix R of at most D rows with R^T R = the covariance of vectors `[N, D]`."""
    centred = (vectors - vectors.mean(0)) / np.sqrt(len(vectors) - 1)
    (root,) = qr(centred, mode="r", overwrite_a=True)
    kept: Vectors = root[: vectors.shape[1]]
    return kept


def _mean_of_pairs(kernel: Vectors) -> float:
    """Mean of a square kernel matrix without its diagonal: of pairs of two."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
