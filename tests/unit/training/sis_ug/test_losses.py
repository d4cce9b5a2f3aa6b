import pytest
import torch

from training.networks.one_hot import one_hot
from training.sis_ug.losses import adversarial_loss, discriminator_loss, feature_loss, mask_loss, style_loss


def test_mask_loss_is_zero_for_equal_masks_and_the_kl_divergence_otherwise() -> None:
    first, second = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert mask_loss(first, first).item() == pytest.approx(0, abs=1e-6)
    p, q = second.softmax(1), first.softmax(1)
    assert mask_loss(first, second).item() == pytest.approx(
        float((p * (p / q).log()).sum(1).mean()), rel=1e-4
    )


def test_style_loss_compares_mean_colours_of_common_regions() -> None:
    left = torch.zeros(1, 4, 4, dtype=torch.long)
    left[:, :, 2:] = 1
    mask = one_hot(left, 3)
    source, result = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    result[:, :, :, 2:] = 0.5  # region 1 is off by 0.5, region 0 by nothing, region 2 is in neither
    assert style_loss(source, mask, result, mask).tolist() == [0.25]


def test_feature_loss_is_in_units_of_the_standard_deviation() -> None:
    source = {8: torch.randn(4, 2, 8, 8)}
    result = {8: source[8] + 3 * source[8].std()}
    assert feature_loss(result, source, {8: 2.0}).item() == pytest.approx(6.0, rel=1e-4)


def test_discriminator_and_its_opponent_want_opposite_things() -> None:
    mask = torch.zeros(1, 2, 2, dtype=torch.long)
    says_real = torch.tensor([9.0, -9.0, -9.0])[None, :, None, None].expand(1, 3, 2, 2), torch.tensor([9.0])
    says_fake = torch.tensor([-9.0, -9.0, 9.0])[None, :, None, None].expand(1, 3, 2, 2), torch.tensor([-9.0])
    assert discriminator_loss(says_real, mask, says_fake).item() < 0.01
    assert discriminator_loss(says_fake, mask, says_real).item() > 10
    assert adversarial_loss(says_real, mask).item() < 0.01
    assert adversarial_loss(says_fake, mask).item() > 10
