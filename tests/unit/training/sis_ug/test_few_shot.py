"""The few-shot segmenter's data and choice, and the search of latents."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.config.packs import pack_folder
from training.data.samples import latents_of
from training.evaluation.few_shot import ALL_LABELS, Result, Score
from training.evaluation.few_shot_tables import as_markdown
from training.generators.dcgan import load_generator
from training.sis_ug.config import load_config
from training.sis_ug.few_shot.choice import medoids
from training.sis_ug.few_shot.labelling import Labelling
from training.sis_ug.few_shot.latent_search import search_latents
from training.sis_ug.few_shot.segmenter import disturbed, moved
from training.sis_ug.few_shot.views import Views

FOLDER: Path = pack_folder("faces64")


def test_medoids_are_points_of_every_cluster_the_largest_first() -> None:
    centres = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    counts = (3, 9, 5)
    offsets = np.random.default_rng(0).normal(0, 0.1, (sum(counts), 2)).astype(np.float32)
    points = np.repeat(centres, counts, axis=0) + offsets
    chosen = medoids(points, 3, seed=0)
    assert [int(np.searchsorted(np.cumsum(counts), index, side="right")) for index in chosen] == [1, 2, 0]


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("count", [1, 2, 5])
def test_medoids_of_equal_points_are_different_ones(count: int) -> None:
    assert len(set(medoids(np.ones((5, 2), np.float32), count, seed=0).tolist())) == count


def test_more_medoids_than_points_are_refused() -> None:
    with pytest.raises(ValueError, match="count: 3 asked for, of 2 candidates"):
        medoids(np.zeros((2, 2), np.float32), 3, seed=0)


def _views(labels: Tensor) -> Views:
    """Views that show the labels at both resolutions."""
    fine = labels[:, None].float()
    return Views(fine[:, :, ::2, ::2], fine[:, :, ::2, ::2], fine.expand(-1, 3, -1, -1))


def test_labels_move_as_the_views_do() -> None:
    labels = torch.zeros(8, 64, 64, dtype=torch.uint8)
    labels[:, 20:44, 12:30] = 1
    views, found = moved(_views(labels), labels, torch.Generator().manual_seed(0))
    assert found.dtype == torch.int64
    assert set(found.unique().tolist()) == {0, 1}
    assert ((views.images[:, 0] > 0.5) == (found == 1)).float().mean() > 0.99
    assert ((views.cells[:, 0] > 0.5) == (found[:, ::2, ::2] == 1)).float().mean() > 0.97
    columns = found.float().mean((1, 2)), (found * torch.arange(64)).sum((1, 2)) / found.sum((1, 2))
    assert columns[0].std() > 0  # zoomed
    assert (columns[1] < 31).any()
    assert (columns[1] > 32).any()


def test_what_is_disturbed_keeps_its_shape_and_loses_channels() -> None:
    views = Views(torch.ones(50, 10, 4, 4), torch.ones(50, 6, 4, 4), torch.ones(50, 3, 8, 8))
    found = disturbed(views, torch.Generator().manual_seed(0))
    for before, after in zip(
        (views.cells, views.proxies, views.images),
        (found.cells, found.proxies, found.images),
        strict=True,
    ):
        assert after.shape == before.shape
    lost = [(each == 0).all(3).all(2).float().mean().item() for each in (found.cells, found.proxies)]
    assert lost == pytest.approx([0.1, 0.1], abs=0.05)
    assert (found.images == 0).flatten(1).all(1).float().mean().item() == pytest.approx(0.3, abs=0.15)


def test_the_search_brings_images_nearer_to_what_is_wanted() -> None:
    config, generator = load_config("faces64"), load_generator()
    viewer = Labelling(config, generator, FOLDER).viewer

    class Dark(nn.Module):
        """Two classes: dark and bright."""

        def forward(self, views: Views) -> Tensor:
            bright = 4 * views.images.mean(1, keepdim=True)
            return torch.cat([-bright, bright], 1)

    latents = latents_of(range(2), generator.latent_dim, config.latent.scale)
    found = search_latents(
        viewer, Dark(), torch.zeros(2, 64, 64, dtype=torch.uint8), latents, config.latent.scale, 10
    )
    assert found.shape == latents.shape
    assert not found.requires_grad
    before, after = (generator.images(each).mean((1, 2, 3)) for each in (latents, found))
    assert (after < before - 0.05).all()


def test_the_table_has_means_and_deviations() -> None:
    results = [
        Result(1, draw, (draw,), Score(0.8 + draw / 10, 0.5), Score(0.7, 0.4), Score(0.6, 0.3))
        for draw in (0, 1)
    ]
    table = as_markdown([*results, Result(ALL_LABELS, 0, (), Score(0.9, 0.7))], 500).splitlines()
    assert table[0] == "500 held-out pairs."
    assert table[4].startswith("| 1 | 2 | 0.850 ± 0.071 | 0.500 ± 0.000 | 0.700 ± 0.000 | 0.400 ± 0.000 |")
    assert table[4].endswith("| 49.8 ± 1.0 | 37.2 ± 0.8 |")
    assert table[5] == "| all | 1 | 0.900 | 0.700 |  |  |  |  |  |  |"
