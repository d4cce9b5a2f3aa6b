import numpy as np
import pytest
import torch

from training.losses import adversarial_loss, discriminator_loss, feature_loss, mask_loss, style_loss
from training.metrics import agreement, style_error
from training.palette import IGNORED
from training.unet import class_ids, one_hot


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


def test_agreement_counts_pixels_and_unions() -> None:
    wanted = np.array([[[0, 0], [1, 1]]], np.uint8)
    read = np.array([[[0, 1], [1, 1]]], np.uint8)
    result = agreement(wanted, read, 2)
    assert result.accuracy == 0.75
    assert result.iou == (0.5, 2 / 3)
    assert result.miou == pytest.approx((0.5 + 2 / 3) / 2)


def test_pictures_without_a_face_are_wrong_at_every_pixel() -> None:
    wanted = np.array([[[0, 1]], [[0, 1]]], np.uint8)
    result = agreement(wanted, wanted, 2, np.array([True, False]))
    assert result.accuracy == 0.5
    assert result.iou == (0.5, 0.5)


def test_pixels_of_no_class_do_not_count() -> None:
    wanted = np.array([[[0, 1, IGNORED]], [[0, 1, IGNORED]]], np.uint8)
    read = np.array([[[0, 0, 1]], [[0, 1, 0]]], np.uint8)
    result = agreement(wanted, read, 2, np.array([True, False]))
    assert result.accuracy == 0.25
    assert result.iou == (1 / 3, 0.0)


def test_classes_that_are_nowhere_do_not_lower_the_mean() -> None:
    wanted = np.array([[[0, 0], [1, 1]]], np.uint8)
    result = agreement(wanted, wanted, 5)
    assert result.iou == (1, 1, None, None, None)
    assert result.miou == 1
    read = np.array([[[0, 0], [1, 3]]], np.uint8)  # read where it was not wanted: that counts
    assert agreement(wanted, read, 5).iou == (1, 0.5, None, 0, None)
    assert agreement(wanted, read, 5).miou == 0.5


@pytest.mark.parametrize("none", [2, 9, IGNORED])
def test_a_labeller_may_read_no_class(none: int) -> None:
    wanted = np.array([[[0, 0], [1, IGNORED]]], np.uint8)
    read = np.array([[[0, none], [none, none]]], np.uint8)
    result = agreement(wanted, read, 2)
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.iou == (0.5, 0)


def test_maps_without_a_class_come_back_as_such() -> None:
    ids = torch.tensor([[[0, 2], [IGNORED, 1]]], dtype=torch.uint8)
    maps = one_hot(ids, 3)
    assert maps[0, :, 1, 0].tolist() == [0, 0, 0]
    assert class_ids(maps).tolist() == ids.tolist()


def test_style_error_is_the_mean_difference_of_class_colours() -> None:
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[:, :, 4:] = 1
    source = np.zeros((1, 8, 8, 3), np.uint8)
    result = source.copy()
    result[:, :, 4:] = 30
    assert style_error(source, labels, result, labels, 3) == 15.0
