"""What a map leads one to expect of GroupDNet's codes, and the prior of what is left."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.support.tiny_groupdnet import quarters, tiny
from training.config.palette import IGNORED
from training.groupdnet.batch_norm_recalibration import recalibrate_batch_norms
from training.groupdnet.codes import prior as prior_module
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
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.codes.prior_fit import Spreads, Ties, fit_prior
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs
from training.groupdnet.stage import Notes
from training.networks.one_hot import one_hot


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def relative(network: GroupDNet) -> RelativeGroupDNet:
    """With nothing to be expected."""
    return RelativeGroupDNet(network, None)


def encode_all(network: Encodes, pairs: ImagePairs) -> tuple[torch.Tensor, torch.Tensor]:
    codes, present, _ = zip(*Pass().codes(network, pairs, "all"), strict=True)
    return torch.cat(codes), torch.cat(present)


def shifted_pairs(count: int) -> ImagePairs:
    """Bands of classes whose place, brightness and all decide on the image's brightness, up to noise."""
    places = torch.randint(0, 17, (count,))
    rows = torch.arange(32)[None, :, None]
    labels = (rows >= places[:, None, None]).byte().expand(-1, -1, 32).clone()
    labels[:, 24:] = 2
    brightness = 40 + 10 * places.float() + 5 * torch.randn(count)
    images = brightness[:, None, None, None].expand(-1, 3, 32, 32).clamp(0, 255).byte()
    return ImagePairs(images, labels, 4)


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


@torch.no_grad()
def test_fitted_prior_draws_codes_like_those_of_the_images() -> None:
    network = relative(GroupDNet(tiny()).eval())
    labels = quarters(1).argmax(1).byte().repeat(80, 1, 1)
    images = (torch.rand(80, 3, 1, 1) * 255 + torch.zeros(80, 3, 32, 32)).byte()
    pairs = ImagePairs(images, labels, 4)
    prior = fit_prior(network, pairs, joint_spread=1.0, single_spread=1.0)
    codes, _ = network.encode(*pairs.batch(torch.arange(80), torch.device("cpu")))
    for drawn in prior(torch.randn(4000, 9)):
        assert drawn.shape == (4000, 3, 3)
        torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.05, rtol=0.1)
        torch.testing.assert_close(drawn.std(0), codes.std(0), atol=0.03, rtol=0.15)


def test_spreads_draw_the_codes_closer_to_their_means() -> None:
    network = relative(GroupDNet(tiny()).eval())
    labels = quarters(1).argmax(1).byte().repeat(20, 1, 1)
    pairs = ImagePairs((torch.rand(20, 3, 32, 32) * 255).byte(), labels, 4)
    found = dict(fit_prior(network, pairs, joint_spread=1.0, single_spread=1.0).named_buffers())
    joint = dict(fit_prior(network, pairs, joint_spread=0.5, single_spread=1.0).named_buffers())
    single = dict(fit_prior(network, pairs, joint_spread=1.0, single_spread=0.5).named_buffers())
    torch.testing.assert_close(joint, found | {"joint_factor": 0.5 * found["joint_factor"]})
    torch.testing.assert_close(single, found | {"style_factor": 0.5 * found["style_factor"]})


class RareCodes:
    """An encoder whose codes are known: N(m, S) for each style where it is present, else a constant.

    All codes go with what all parts of an image have in common.
    """

    NUMBERS = 6
    SHARES = (1.0, 0.3, 0.03, 0.0)

    def __init__(self, count: int) -> None:
        random = torch.Generator().manual_seed(1)
        styles = len(self.SHARES)
        self.mean = torch.randn(styles, self.NUMBERS, generator=random)
        self.deviation = 0.5 + torch.rand(styles, self.NUMBERS, generator=random)
        common = torch.randn(count, 1, self.NUMBERS, generator=random)
        own = torch.randn(count, styles, self.NUMBERS, generator=random)
        codes = self.mean + self.deviation * (0.8 * common + 0.6 * own)
        self.present = torch.rand(count, styles, generator=random) < torch.tensor(self.SHARES)
        self.codes = torch.where(self.present[..., None], codes, 7.0)

    def pairs(self) -> ImagePairs:
        """The number of a sample is written into its image, in three digits."""
        numbers = torch.arange(len(self.codes))
        digits = torch.stack([numbers // 10000, numbers // 100 % 100, numbers % 100], 1).byte()
        images = digits[:, :, None, None].expand(-1, -1, 4, 4).clone()
        return ImagePairs(images, torch.zeros(len(numbers), 4, 4, dtype=torch.uint8), len(self.SHARES))

    def _numbers(self, images: torch.Tensor) -> torch.Tensor:
        digits = ((images[:, :, 0, 0] + 1) * 127.5).round().long()
        return digits @ torch.tensor([10000, 100, 1])

    def encode(self, images: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen = self._numbers(images)
        return self.codes[self.seen], torch.zeros_like(self.codes[self.seen])

    def style_maps(self, maps: torch.Tensor) -> torch.Tensor:
        return self.present[self.seen].float()[..., None, None].expand(-1, -1, 4, 4)


@pytest.mark.parametrize("whole", [True, False])
def test_rare_classes_keep_their_spread(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not whole:
        monkeypatch.setattr(prior_module, "WHOLE", 12)
    encoder = RareCodes(6000)
    prior = fit_prior(encoder, encoder.pairs(), joint_spread=1.0, single_spread=1.0, how=Pass(500))
    assert prior.whole == whole
    noise = torch.randn(20000, 4 * encoder.NUMBERS, generator=torch.Generator().manual_seed(2))
    for name, drawn in zip(("joint", "single"), prior(noise), strict=True):
        # Of the style in 3 % of the images there are 180 examples: a deviation is known to 5 %.
        for style, allowed in ((0, 0.05), (1, 0.08), (2, 0.2)):
            torch.testing.assert_close(
                drawn[:, style].std(0), encoder.deviation[style], rtol=allowed, atol=0, msg=f"{name} {style}"
            )
            apart = (drawn[:, style].mean(0) - encoder.mean[style]) / encoder.deviation[style]
            assert apart.abs().max() < 0.3, (name, style)
        torch.testing.assert_close(drawn[:, 3].std(0), torch.ones(encoder.NUMBERS), rtol=0.05, atol=0)


def test_parts_that_are_drawn_together_suit_each_other() -> None:
    encoder = RareCodes(6000)
    prior = fit_prior(encoder, encoder.pairs(), joint_spread=1.0, single_spread=1.0, how=Pass(500))
    noise = torch.randn(20000, 4 * encoder.NUMBERS, generator=torch.Generator().manual_seed(2))
    codes = prior.joint(noise)
    for other, allowed in ((1, 0.05), (2, 0.2)):  # 1800 and 180 examples
        together = [
            torch.corrcoef(torch.stack([codes[:, 0, number], codes[:, other, number]]))[0, 1].item()
            for number in range(encoder.NUMBERS)
        ]
        assert sum(together) / len(together) == pytest.approx(0.64, abs=allowed)
    apart = prior.single(noise)
    assert abs(torch.corrcoef(torch.stack([apart[:, 0, 0], apart[:, 1, 0]]))[0, 1]) < 0.05


@settings(max_examples=40)
@given(
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(2, 30),
    st.floats(0.05, 1),
    st.integers(0, 2**32 - 1),
)
def test_correlations_of_any_gaps_are_positive_definite(
    styles: int, size: int, count: int, share: float, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    codes = torch.randn(count, styles, size, generator=random) @ torch.randn(size, size, generator=random)
    present = torch.rand(count, styles, generator=random) < share
    spreads = Spreads(styles, size)
    spreads.add(codes, present)
    mean, roots = spreads.gaussians()
    ties = Ties(mean, roots, size)
    ties.add(codes, present)
    found = ties.correlations()
    assert torch.linalg.eigvalsh(found).min() > 0
    for style in range(styles):
        own = found[style * size : (style + 1) * size, style * size : (style + 1) * size]
        torch.testing.assert_close(own, torch.eye(size, dtype=torch.float64))


def test_chunks_do_not_change_what_is_fitted() -> None:
    network = GroupDNet(tiny()).eval()
    pairs = shifted_pairs(90)
    found = [
        dict(
            fit_prior(
                relative(network), pairs, joint_spread=1.0, single_spread=1.0, how=Pass(chunk)
            ).named_buffers()
        )
        for chunk in (90, 7)
    ]
    # Axes may point either way; what they span may not differ.
    squared = [each["joint_factor"] @ each["joint_factor"].T for each in found]
    torch.testing.assert_close(squared[0], squared[1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found[0]["joint_mean"], found[1]["joint_mean"], atol=1e-5, rtol=1e-4)


def test_unfitted_prior_leaves_noise_alone() -> None:
    noise = torch.randn(2, 6)
    for codes in StylePrior(3, 2)(noise):
        torch.testing.assert_close(codes, noise.view(2, 3, 2))


def recalibrated(chunk: int, images: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    network = GroupDNet(tiny())
    recalibrate_batch_norms(network, shifted_pairs(40), Pass(chunk), images)
    assert not network.training
    return {name: value for name, value in network.named_buffers() if "running" in name}


def test_batch_norms_first_see_the_same_in_chunks_of_any_size() -> None:
    """What reaches the first norm does not hang on statistics: its moments are those of all images."""
    whole, chunked = recalibrated(32, 32), recalibrated(5, 32)
    for part in ("mean", "var"):
        name = f"decoder.blocks.0.norm_0.norm.running_{part}"
        assert whole[name].abs().min() > 0
        torch.testing.assert_close(chunked[name], whole[name], rtol=1e-2, atol=1e-3)


def test_deeper_batch_norms_hardly_hang_on_the_size_of_chunks() -> None:
    whole, chunked = recalibrated(64, 128), recalibrated(4, 128)
    for name, value in whole.items():
        if name.endswith("running_var"):
            torch.testing.assert_close(chunked[name], value, rtol=0.25, atol=0.02, msg=name)


def test_what_is_fitted_is_fitted_once(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> nn.Linear:
        made.append(name)
        torch.manual_seed(len(made))
        return nn.Linear(2, 2)

    def fit_all(*made_of: str) -> list[str]:
        made.clear()
        notes = Notes(tmp_path / "fitted.json", tmp_path)
        for name, of in zip(("groupdnet", "expectation", "prior"), made_of, strict=True):
            notes.once(name, of, lambda name=name: make(name))  # type: ignore[misc]  # mypy infers no default
        return list(made)

    assert fit_all("a", "b", "c") == ["groupdnet", "expectation", "prior"]
    assert fit_all("a", "b", "c") == []
    assert fit_all("a", "b", "other spread") == ["prior"]
    (tmp_path / "expectation.safetensors").write_bytes(b"damaged")
    assert fit_all("a", "b", "other spread") == ["expectation", "prior"]
    assert fit_all("more steps", "b", "other spread") == ["groupdnet", "expectation", "prior"]
