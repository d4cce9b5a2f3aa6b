"""Metrics of images made from label maps."""

import numpy as np
import pytest

from training.config.palette import IGNORED
from training.evaluation.metrics import agreement, style_error


def test_agreement_counts_pixels_and_unions() -> None:
    wanted = np.array([[[0, 0], [1, 1]]], np.uint8)
    read = np.array([[[0, 1], [1, 1]]], np.uint8)
    result = agreement(wanted, read, 2)
    assert result.accuracy == 0.75
    assert result.iou == (0.5, 2 / 3)
    assert result.miou == pytest.approx((0.5 + 2 / 3) / 2)


def test_images_without_a_face_are_wrong_at_every_pixel() -> None:
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


def test_style_error_is_the_mean_difference_of_class_colours() -> None:
    labels = np.zeros((1, 8, 8), np.uint8)
    labels[:, :, 4:] = 1
    source = np.zeros((1, 8, 8, 3), np.uint8)
    result = source.copy()
    result[:, :, 4:] = 30
    assert style_error(source, labels, result, labels, 3) == 15.0
