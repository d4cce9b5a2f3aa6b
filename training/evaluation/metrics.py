"""Figures of merit for images made from label maps; NumPy in, plain numbers out.

All are summed up image by image: sets of large images would take gigabytes at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.config.palette import IGNORED

Labels = NDArray[np.uint8]
Images = NDArray[np.uint8]
MIN_PIXELS = 12
"""A class counts as present in an image from this many pixels on."""
NOISE_LEVELS = 2.0
"""Standard deviation, in 0-255, of the noise on images of the upper bound."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well label maps read off images agree with those wanted.

    Attributes:
        accuracy: share of pixels with the class wanted.
        miou: mean of intersection over union, all pixels of all images counted together, over the classes
            that are wanted or read anywhere.
        iou: intersection over union by class, in the order of the class ids; None where a class is neither.
    """

    accuracy: float
    miou: float
    iou: tuple[float | None, ...]


def agreement(
    wanted: Labels, read: Labels, classes: int, detected: NDArray[np.bool_] | None = None
) -> Agreement:
    """Compare label maps `[N, H, W]`.

    Args:
        wanted: what the images were to show; pixels that are to be of no class (IGNORED) do not count.
        read: what the labeller reads off them; an id that is no class's, such as IGNORED, is a class read
            wrongly.
        classes: number of classes.
        detected: `[N]`; images in which no face was found count as wrong at every pixel. None: all found.
    """
    found = np.ones(len(wanted), bool) if detected is None else detected
    # The last column: read as no class, or in an image in which nothing was found.
    confusion = np.zeros((classes, classes + 1), np.int64)
    for own, answer, is_found in zip(wanted, read, found, strict=True):
        counts = own != IGNORED
        columns = np.minimum(answer[counts].astype(np.int64), classes) if is_found else classes
        codes = own[counts].astype(np.int64) * (classes + 1) + columns
        confusion += np.bincount(codes, minlength=confusion.size).reshape(confusion.shape)
    hits = confusion.diagonal()
    union = confusion[:, :classes].sum(0) + confusion.sum(1) - hits
    known = union > 0
    iou = hits / np.maximum(union, 1)
    return Agreement(
        float(hits.sum() / max(1, confusion.sum())),
        float(iou[known].mean()) if known.any() else 0.0,
        tuple(float(value) if there else None for value, there in zip(iou, known, strict=True)),
    )


def style_error(
    source: Images, source_labels: Labels, result: Images, result_labels: Labels, classes: int
) -> float:
    """Mean absolute difference (0-255) of the classes' mean colours, over common classes and pairs.

    Args:
        source: images whose style is to be kept, uint8 `[N, H, W, 3]`.
        source_labels: their label maps `[N, H, W]`.
        result: images made in that style.
        result_labels: the label maps read off them.
        classes: number of classes.
    """
    wanted, in_source = _class_colors(source, source_labels, classes)
    found, in_result = _class_colors(result, result_labels, classes)
    present = in_source & in_result
    errors = np.abs(wanted - found).mean(2)
    by_pair = (errors * present).sum(1) / np.maximum(present.sum(1), 1)
    return float(by_pair[present.any(1)].mean())


def _class_colors(
    images: Images, labels: Labels, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean colours `[N, classes, 3]`, and whether the class is present, `[N, classes]`."""
    colors, counts = np.zeros((len(images), classes, 3)), np.zeros((len(images), classes), np.int64)
    for index, (image, own) in enumerate(zip(images, labels, strict=True)):
        ids = np.minimum(own.ravel(), classes)  # the last: of no class
        counts[index] = np.bincount(ids, minlength=classes + 1)[:classes]
        for channel, values in enumerate(image.reshape(-1, 3).T):
            colors[index, :, channel] = np.bincount(ids, values, classes + 1)[:classes]
    return colors / np.maximum(counts, 1)[:, :, None], counts >= MIN_PIXELS


def mean_psnr(images: Images, wanted: Images) -> float:
    """Mean over images of the peak signal-to-noise ratio, in decibels; both uint8 `[N, H, W, 3]`."""
    pairs = zip(images, wanted, strict=True)
    errors = [np.square(one.astype(np.float64) - other).mean() for one, other in pairs]
    return float((10 * np.log10(255**2 / np.maximum(errors, 1e-6))).mean())


def slightly_noised(images: Images, seed: int) -> Images:
    """What the upper bound is read off: the very images, uint8 `[N, H, W, 3]`, with a little noise."""
    random = np.random.default_rng(seed)
    noised = np.empty_like(images)
    for index, image in enumerate(images):
        noise = random.normal(0, NOISE_LEVELS, image.shape)
        noised[index] = (image + noise).round().clip(0, 255)
    return noised
