"""Proxy masks: clusters of the generator's own features (SIS-UG, "simple clustering").

One layer of a DCGAN will not do: transposed convolutions print their phases into it as a checkerboard, and
its directions follow light rather than parts. The features clustered here are therefore a hypercolumn over
three layers, each blurred by the kernel (1 2 1) that cancels the phases and instance-normalised per sample
and channel, which removes much of the light; PCA and k-means follow (our design: the paper does not publish
its own).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.generators.base import FeaturePyramid

BLURRED_FROM = 16
"""Layers at this resolution and finer carry the checkerboard and are blurred."""

MARGIN = 1
"""Cells at the border see the convolutions' zero padding and would take clusters of their own: they are left
out of the fit and take the cluster of their neighbour inside."""


def hypercolumn(pyramid: FeaturePyramid, resolution: int) -> Tensor:
    """Features of all layers at every cell of a `resolution` x `resolution` grid.

    Returns:
        float `[B, sum of channels, resolution, resolution]`.
    """
    return torch.cat([_upsample(_standardise(features), resolution) for features in pyramid.values()], dim=1)


def _standardise(features: Tensor) -> Tensor:
    """Blur where needed, instance-normalise, and scale by 1/sqrt(channels) so that layers weigh alike."""
    layer = blur(features) if features.shape[-1] >= BLURRED_FROM else features
    normalised: Tensor = F.instance_norm(layer)
    return normalised / math.sqrt(layer.shape[1])


def _upsample(layer: Tensor, resolution: int) -> Tensor:
    if layer.shape[-1] == resolution:
        return layer
    return F.interpolate(layer, size=(resolution, resolution), mode="bilinear", align_corners=False)


def blur(features: Tensor) -> Tensor:
    """Depthwise blur with the separable binomial kernel 1 2 1, edges replicated; the size stays."""
    channels = features.shape[1]
    taps = torch.tensor([1.0, 2.0, 1.0], device=features.device, dtype=features.dtype) / 4
    kernel = (taps[:, None] * taps[None, :]).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(features, (1, 1, 1, 1), mode="replicate"), kernel, groups=channels)


class ProxyClusters(nn.Module):
    """Fitted clusters: feature maps in, proxy masks out.

    Args:
        mean: float `[D]`, PCA mean of the hypercolumns.
        components: float `[P, D]`, PCA directions.
        centroids: float `[K, P]`, on the unit sphere's neighbourhood (cells are L2-normalised before
            assignment).
        resolution: cells per side of the proxy mask.
    """

    def __init__(self, mean: Tensor, components: Tensor, centroids: Tensor, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("centroids", centroids)

    @property
    def count(self) -> int:
        """Number of clusters K."""
        return int(self.get_buffer("centroids").shape[0])

    def cells(self, pyramid: FeaturePyramid) -> Tensor:
        """What is clustered: unit vectors, float `[B, P, resolution, resolution]`, of a feature pyramid."""
        # PCA is linear and so is upsampling: projecting each layer first keeps the large maps down to P
        # channels.
        components = self.get_buffer("components")
        projected: Tensor | float = 0.0
        first = 0
        for features in pyramid.values():
            part = components[:, first : first + features.shape[1], None, None]
            projected = projected + _upsample(F.conv2d(_standardise(features), part), self.resolution)
            first += features.shape[1]
        offset = components @ self.get_buffer("mean")
        return F.normalize(projected - offset[:, None, None], dim=1)

    def forward(self, pyramid: FeaturePyramid) -> Tensor:
        """Proxy masks, int64 `[B, resolution, resolution]`, of a feature pyramid."""
        cells = self.cells(pyramid)
        centroids = self.get_buffer("centroids")
        # Nearest centroid: the |cell|^2 term is the same for all.
        distances = (centroids**2).sum(1)[:, None, None] - 2 * F.conv2d(cells, centroids[:, :, None, None])
        inside = distances[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        return F.pad(inside, (MARGIN,) * 4, mode="replicate").argmin(1)


def fit_clusters(
    pyramids: Iterable[FeaturePyramid],
    *,
    count: int,
    components: int,
    cells: int,
    resolution: int,
    seed: int,
) -> ProxyClusters:
    """Fit PCA and k-means on randomly chosen cells.

    Args:
        pyramids: feature pyramids of random samples, in batches; they are taken one after the other, so that
            they need not be in memory together.
        count: number of clusters K.
        components: PCA dimensions.
        cells: cells drawn from each batch.
        resolution: cells per side of the proxy mask.
        seed: of the draw and of k-means.
    """
    # Not above: all but this, also each rank of a run, would wait for it half as long as for torch.
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415
    from sklearn.decomposition import PCA  # noqa: PLC0415

    generator = np.random.default_rng(seed)
    drawn: list[NDArray[np.float32]] = []
    for pyramid in pyramids:
        inside = hypercolumn(pyramid, resolution)[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        cells_inside = inside.movedim(1, -1).flatten(0, 2)
        chosen = generator.choice(len(cells_inside), min(cells, len(cells_inside)), replace=False)
        drawn.append(cells_inside[torch.from_numpy(chosen)].float().cpu().numpy())
    columns = np.concatenate(drawn)
    pca = PCA(components, random_state=seed).fit(columns)
    projected = pca.transform(columns)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True).clip(1e-12)
    kmeans = MiniBatchKMeans(count, random_state=seed, batch_size=8192, n_init=5, max_iter=200).fit(projected)
    tensors = (pca.mean_, pca.components_, kmeans.cluster_centers_)
    mean, directions, centroids = (torch.from_numpy(np.asarray(t, np.float32)) for t in tensors)
    return ProxyClusters(mean, directions, centroids, resolution)
