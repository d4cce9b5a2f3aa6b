"""What a map leads one to expect of GroupDNet's codes, and edits of maps."""

from functools import partial

import numpy as np
import pytest
import torch

from tests.support.tiny_groupdnet import quarters, relative, shifted_pairs, tiny
from training.config.palette import IGNORED
from training.groupdnet.codes.encoding import Encodes, Pass
from training.groupdnet.codes.expectation import (
    EDIT_PENALTY,
    CodeExpectation,
    RelativeGroupDNet,
    fit_expectation,
    map_features,
    region_features,
)
from training.groupdnet.codes.map_edits import grown, removed, shrunk
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.networks.one_hot import one_hot


def encode_all(network: Encodes, pairs: ImagePairs) -> tuple[torch.Tensor, torch.Tensor]:
    codes, present, _ = zip(*Pass().codes(network, pairs, "all"), strict=True)
    return torch.cat(codes), torch.cat(present)


def test_features_of_maps_are_shares_of_cells_presence_and_a_one() -> None:
    features = map_features(quarters(2))
    assert features.shape == (2, 4 * 64 + 4 + 1)
    shares = features[0, :256].view(4, 8, 8)
    torch.testing.assert_close(shares.sum(0), torch.ones(8, 8))
    assert shares[0, :4, :4].all()
    assert features[:, 256:].eq(1).all()
    assert map_features(one_hot(torch.zeros(1, 32, 32, dtype=torch.long), 4))[0, 256:].tolist() == [
        1,
        0,
        0,
        0,
        1,
    ]


def test_features_of_regions_are_of_each_alone() -> None:
    maps = quarters(1)
    before = region_features(maps)
    assert before.shape == (1, 4, 64 + 7)
    area, down, extent_down, across, extent_across, there, one = before[0, 3, 64:].tolist()
    assert (area, down, across, there, one) == pytest.approx((0.5, 0.75, 0.75, 1, 1))
    assert extent_down == extent_across == pytest.approx(0.1398, abs=1e-3)  # of the middles of four cells
    changed = maps.clone()
    changed[:, :2] = maps[:, :2].flip(3)  # the first two change places
    after = region_features(changed)
    assert not torch.equal(after[:, :2], before[:, :2])
    torch.testing.assert_close(after[:, 2:], before[:, 2:], rtol=0, atol=0)
    absent = region_features(torch.zeros(1, 1, 32, 32))
    assert absent[0, 0].nonzero().flatten().tolist() == [70]
    assert absent[0, 0, 70] == 1


@torch.no_grad()
@pytest.mark.parametrize(("kind", "style"), [("whole_map", 2), ("own_region", 0)])
@pytest.mark.parametrize("chunk", [64, 7])
def test_expectation_foretells_what_maps_tell_of_codes(kind: str, style: int, chunk: int) -> None:
    config = tiny(expectation=kind)
    network = GroupDNet(config).eval()
    expectation = fit_expectation(network, shifted_pairs(600), config, Pass(chunk), edit_penalty=0)
    fresh = shifted_pairs(200)
    raw, present = encode_all(relative(network), fresh)
    left, _ = encode_all(RelativeGroupDNet(network, expectation), fresh)
    known = present[:, style]
    assert known.sum() > 100
    raw, left = raw[known, style], left[known, style]
    assert 1 - left.var(0).sum() / raw.var(0).sum() > 0.9
    torch.testing.assert_close(left.mean(0), torch.zeros(3), atol=0.1 * float(raw.std()), rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["whole_map", "own_region"])
def test_a_penalised_expectation_hardly_moves_with_edits_and_keeps_the_mean(kind: str) -> None:
    """Also with those that it was not fitted to: a region that shrinks."""
    config = tiny(expectation=kind)
    network = GroupDNet(config).eval()
    pairs = shifted_pairs(300)
    maps = [each for each in pairs.labels[:40].numpy() if (each == 0).any()]
    edits = (partial(grown, growth=5 / 64), partial(shrunk, growth=4 / 64), removed)
    own = one_hot(torch.from_numpy(np.stack(maps)), 4)
    edited = [one_hot(torch.from_numpy(np.stack([edit(m, m == 0) for m in maps])), 4) for edit in edits]
    moved, mean = [], []
    for penalty in (0.0, EDIT_PENALTY):
        expectation = fit_expectation(network, pairs, config, edit_penalty=penalty)
        first = expectation(own, network.style_maps(own))
        moved.append([float((expectation(m, network.style_maps(m)) - first).abs().mean()) for m in edited])
        codes, _ = encode_all(RelativeGroupDNet(network, expectation), pairs)
        mean.append(float(codes.mean(0).abs().max()))
    assert all(after < 0.6 * before for before, after in zip(*moved, strict=True)), moved
    assert mean[1] < mean[0] + 0.01


@pytest.mark.parametrize("growth", [2 / 32, 6 / 32])
def test_edits_of_maps_move_the_rim_of_a_region_and_nothing_else(growth: float) -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[:, 16:] = 1
    labels[0, 15] = IGNORED
    labels[8:24, 8:24] = 2
    region, reach = labels == 2, round(growth * 32)
    larger, smaller = grown(labels, region, growth), shrunk(labels, region, growth)
    for edited in (larger, smaller, removed(labels, region)):
        changed = edited != labels
        assert changed.any()
        assert not changed[: 8 - reach].any()
    assert (larger[8 - reach : 24 + reach, 12] == 2).all()
    assert (smaller[8 + reach : 24 - reach, 8 + reach : 24 - reach] == 2).all()
    assert (smaller == 2).sum() < region.sum() < (larger == 2).sum()
    assert not (removed(labels, region) == 2).any()
    assert larger[0, 15] == IGNORED


def test_a_region_that_is_everything_has_nothing_beside_it() -> None:
    labels = np.full((8, 8), 3, np.uint8)
    assert (removed(labels, labels == 3) == labels).all()


@torch.no_grad()
@pytest.mark.parametrize(("kind", "leaks"), [("whole_map", True), ("own_region", False)])
def test_expectation_of_a_style_moves_with_its_own_region_alone(kind: str, leaks: bool) -> None:
    config = tiny(expectation=kind)
    expectation = CodeExpectation(config)
    expectation.get_buffer("weight").normal_()
    network = GroupDNet(config)
    before, after = quarters(1), quarters(1)
    after[:, 0, 12:] = 0  # less of the first class and more of the third, which are styles 0 and 2
    after[:, 2, 12:16, :16] = 1
    apart = expectation(after, network.style_maps(after)) - expectation(before, network.style_maps(before))
    moved = apart.abs().amax((0, 2)) > 1e-4
    assert moved.tolist() == [True, leaks, True]


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"code_side": 4, "fold": 1, "map_resize": "nearest"}])
def test_an_images_codes_on_its_own_map_are_what_they_were(changes: dict[str, object]) -> None:
    config = tiny(**changes)
    network = GroupDNet(config).eval()
    side = config.image_side
    maps, images = quarters(2, side), torch.rand(2, 3, side, side)
    expectation = CodeExpectation(config)
    expectation.get_buffer("weight").normal_()
    whole = RelativeGroupDNet(network, expectation)
    codes, log_variance = whole.encode(images, maps)
    mean, expected_variance = network.encode(images, maps)
    assert not torch.allclose(codes, mean.flatten(2), atol=0.1)
    torch.testing.assert_close(log_variance, expected_variance.flatten(2))
    torch.testing.assert_close(whole(codes, maps), network(mean, maps), atol=1e-4, rtol=0)
