"""What a map leads one to expect of GroupDNet's codes, and the prior of what is left."""

import pytest
import torch

from tests.support.tiny_groupdnet import quarters, tiny
from training.groupdnet.config import NetworkSection
from training.groupdnet.expectation import (
    CodeExpectation,
    RelativeGroupDNet,
    fit_expectation,
    map_features,
)
from training.groupdnet.network import GroupDNet
from training.groupdnet.prior import StylePrior, encode_all, fit_prior, gaussian
from training.groupdnet.samples import PicturePairs
from training.unet import one_hot


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def relative(network: GroupDNet, config: NetworkSection | None = None) -> RelativeGroupDNet:
    """With nothing to be expected."""
    config = config or tiny()
    return RelativeGroupDNet(network, CodeExpectation(config), config)


def shifted_pairs(count: int) -> PicturePairs:
    """Bands of classes whose place, brightness and all decide on the picture's brightness, up to noise."""
    places = torch.randint(0, 17, (count,))
    rows = torch.arange(32)[None, :, None]
    labels = (rows >= places[:, None, None]).byte().expand(-1, -1, 32).clone()
    labels[:, 24:] = 2
    brightness = 40 + 10 * places.float() + 5 * torch.randn(count)
    pictures = brightness[:, None, None, None].expand(-1, 3, 32, 32).clamp(0, 255).byte()
    return PicturePairs(pictures, labels, 4)


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


@torch.no_grad()
def test_expectation_foretells_what_maps_tell_of_codes() -> None:
    network = GroupDNet(tiny()).eval()
    pairs = shifted_pairs(600)
    expectation = fit_expectation(network, pairs, tiny())
    fresh = shifted_pairs(200)
    raw, present = encode_all(relative(network), fresh)
    left, _ = encode_all(RelativeGroupDNet(network, expectation, tiny()), fresh)
    assert present[:, 2].all()
    explained = 1 - left[:, 2].var(0).sum() / raw[:, 2].var(0).sum()
    assert explained > 0.9
    torch.testing.assert_close(left[:, 2].mean(0), torch.zeros(3), atol=0.1 * float(raw[:, 2].std()), rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"code_side": 4, "fold": 1, "map_resize": "nearest"}])
def test_a_pictures_codes_on_its_own_map_are_what_they_were(changes: dict[str, object]) -> None:
    config = tiny(**changes)
    network = GroupDNet(config).eval()
    side = config.image_side
    maps, pictures = quarters(2, side), torch.rand(2, 3, side, side)
    expectation = CodeExpectation(config)
    expectation.get_buffer("weight").normal_()
    whole = RelativeGroupDNet(network, expectation, config)
    codes, log_variance = whole.encode(pictures, maps)
    mean, expected_variance = network.encode(pictures, maps)
    assert not torch.allclose(codes, mean.flatten(2), atol=0.1)
    torch.testing.assert_close(log_variance, expected_variance.flatten(2))
    torch.testing.assert_close(whole(codes, maps), network(mean, maps), atol=1e-4, rtol=0)


def test_gaussian_gives_back_mean_and_covariance() -> None:
    factor = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    vectors = torch.randn(20000, 2) @ factor.T + torch.tensor([1.0, -3.0])
    mean, found = gaussian(vectors)
    torch.testing.assert_close(mean, torch.tensor([1.0, -3.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(found, factor, atol=0.05, rtol=0)


@torch.no_grad()
def test_fitted_prior_draws_codes_like_those_of_the_pictures() -> None:
    network = relative(GroupDNet(tiny()).eval())
    labels = quarters(1).argmax(1).byte().repeat(80, 1, 1)
    pictures = (torch.rand(80, 3, 1, 1) * 255 + torch.zeros(80, 3, 32, 32)).byte()
    pairs = PicturePairs(pictures, labels, 4)
    prior = fit_prior(network, pairs, joint_spread=1.0, single_spread=1.0)
    codes, _ = network.encode(*pairs.batch(torch.arange(80), torch.device("cpu")))
    for drawn in prior(torch.randn(4000, 9)):
        assert drawn.shape == (4000, 3, 3)
        torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.05, rtol=0.1)
        torch.testing.assert_close(drawn.std(0), codes.std(0), atol=0.03, rtol=0.15)


def test_spreads_draw_the_codes_closer_to_their_means() -> None:
    network = relative(GroupDNet(tiny()).eval())
    labels = quarters(1).argmax(1).byte().repeat(20, 1, 1)
    pairs = PicturePairs((torch.rand(20, 3, 32, 32) * 255).byte(), labels, 4)
    found = dict(fit_prior(network, pairs, joint_spread=1.0, single_spread=1.0).named_buffers())
    joint = dict(fit_prior(network, pairs, joint_spread=0.5, single_spread=1.0).named_buffers())
    single = dict(fit_prior(network, pairs, joint_spread=1.0, single_spread=0.5).named_buffers())
    torch.testing.assert_close(joint, found | {"joint_factor": 0.5 * found["joint_factor"]})
    torch.testing.assert_close(single, found | {"style_factor": 0.5 * found["style_factor"]})


def test_unfitted_prior_leaves_noise_alone() -> None:
    noise = torch.randn(2, 6)
    for codes in StylePrior(3, 2)(noise):
        torch.testing.assert_close(codes, noise.view(2, 3, 2))
