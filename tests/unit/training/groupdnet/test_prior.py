"""The prior of GroupDNet's codes, fitted to what is present."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiny_groupdnet import quarters, relative, shifted_pairs, tiny
from training.groupdnet.codes import prior as prior_module
from training.groupdnet.codes.encoding import Pass
from training.groupdnet.codes.prior import StylePrior
from training.groupdnet.codes.prior_fit import Spreads, Ties, fit_prior
from training.groupdnet.networks.groupdnet import GroupDNet
from training.groupdnet.samples import ImagePairs


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
