"""Metrics of images made from label maps."""

import tracemalloc

import numpy as np
import pytest

from training.config.palette import IGNORED
from training.evaluation.metrics import agreement, mean_psnr, slightly_noised, style_error


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


def test_noise_of_two_levels_gives_the_ratio_that_it_has() -> None:
    images = np.full((4, 64, 64, 3), 100, np.uint8)
    noised = slightly_noised(images, 0)
    assert (slightly_noised(images, 0) == noised).all()
    assert mean_psnr(noised, images) == pytest.approx(10 * np.log10(255**2 / (4 + 1 / 12)), abs=0.1)


def test_sets_of_large_images_take_no_more_memory_than_one_of_them() -> None:
    """Beside the images: 500 of 256 px with 30 classes took eight gigabytes."""
    images, labels = np.zeros((40, 128, 128, 3), np.uint8), np.zeros((40, 128, 128), np.uint8)
    tracemalloc.start()
    try:
        agreement(labels, labels, 30)
        style_error(images, labels, images, labels, 30)
        mean_psnr(slightly_noised(images, 0), images)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes + 64 * images[0].nbytes
