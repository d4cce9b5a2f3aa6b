"""Proxy masks: clusters of the generator's features."""

import torch

from training.generators.dcgan import load_generator
from training.sis_ug.clustering import ProxyClusters, blur, fit_clusters


def test_blur_cancels_a_checkerboard() -> None:
    ramp = torch.arange(8)
    board = ((ramp[:, None] + ramp[None, :]) % 2).float()[None, None]
    inside = blur(board)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.5))


def test_clusters_give_the_nearest_centroid_of_the_projected_hypercolumn() -> None:
    generator = load_generator()
    pyramid = generator.head(torch.randn(6, 100), 32)
    clusters = fit_clusters([pyramid], count=5, components=6, cells=2000, resolution=32, seed=0)
    masks = clusters(pyramid)
    assert masks.shape == (6, 32, 32)
    assert set(masks.unique().tolist()) == set(range(5))
    # The same by definition: whole hypercolumn first, projection after it.
    from training.sis_ug.clustering import hypercolumn  # noqa: PLC0415

    columns = hypercolumn(pyramid, 32).movedim(1, -1) - clusters.get_buffer("mean")
    cells = torch.nn.functional.normalize(columns @ clusters.get_buffer("components").T, dim=-1)
    nearest = torch.cdist(cells.flatten(0, 2), clusters.get_buffer("centroids")).argmin(-1).view(6, 32, 32)
    agreement = (nearest[:, 1:-1, 1:-1] == masks[:, 1:-1, 1:-1]).float().mean()
    assert agreement > 0.999


def test_border_cells_take_their_neighbours_cluster() -> None:
    generator = load_generator()
    pyramid = generator.head(torch.randn(2, 100), 32)
    clusters = ProxyClusters(torch.zeros(448), torch.randn(6, 448), torch.randn(5, 6), 32)
    masks = clusters(pyramid)
    assert torch.equal(masks[:, 0], masks[:, 1])
    assert torch.equal(masks[:, :, -1], masks[:, :, -2])
