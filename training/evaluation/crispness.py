"""How crisp images are beside what was drawn: how steep borders of classes are, how flat is what is flat.

For images whose truth is drawn: photographs have no flat areas, and their label maps no exact borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)

_AROUND = 2
"""Pixels to each side that must have a flat one's colour in the truth: a border's blur is no texture."""
_MIN_CONTRAST = 24.0
"""Levels, mean over channels, between both sides of a border that is looked at."""


@dataclass(frozen=True, slots=True)
class Crispness:
    """Figures of images beside the truth; None where there is nothing to measure.

    Attributes:
        steepness: of the change across a border of classes, from two pixels on one side to two on the other,
            the share that lies between the two pixels at the border; mean, weighted by the change.
        true_steepness: the same of the truth.
        texture: mean absolute difference of neighbours in areas where the truth has none, levels of 255.
        flat: share of the pixels that lie in such areas.
    """

    steepness: float | None
    true_steepness: float | None
    texture: float | None
    flat: float


def crispness(
    images: NDArray[np.uint8], truth: NDArray[np.uint8], label_maps: NDArray[np.uint8]
) -> Crispness:
    """Measure images of the same label maps as the truth, in its styles.

    Args:
        images: uint8 `[N, H, W, 3]`.
        truth: the same.
        label_maps: class ids, uint8 `[N, H, W]`.
    """
    texture, flat = _texture(images, truth)
    return Crispness(
        _steepness(images, truth, label_maps), _steepness(truth, truth, label_maps), texture, flat
    )


def as_markdown(found: Crispness) -> str:
    """A line that says it; empty where the truth has no flat areas to speak of."""
    if found.texture is None or found.steepness is None or found.flat < 0.1:
        return ""
    return (
        f"Reconstructions: {found.steepness:.3f} of the change across a border of classes lies at the border "
        f"({found.true_steepness:.3f} in the truth); neighbours in flat areas ({found.flat:.0%} of the "
        f"pixels) differ by {found.texture:.2f} levels of 255 (0 in the truth)."
    )


def _steepness(
    images: NDArray[np.uint8], truth: NDArray[np.uint8], label_maps: NDArray[np.uint8]
) -> float | None:
    step = change = 0.0
    for axis in (1, 2):
        before, first, second, after = (_of(4, label_maps, axis, by) for by in range(4))
        border = (before == first) & (first != second) & (second == after)
        border &= _apart(_of(4, truth, axis, 0), _of(4, truth, axis, 3)) >= _MIN_CONTRAST
        step += float(_apart(_of(4, images, axis, 1), _of(4, images, axis, 2))[border].sum())
        change += float(_apart(_of(4, images, axis, 0), _of(4, images, axis, 3))[border].sum())
    return step / change if change else None


def _texture(images: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float | None, float]:
    size = 2 * _AROUND + 1
    windows = np.lib.stride_tricks.sliding_window_view(truth, (size, size), (1, 2))
    flat = ((windows.max((-2, -1)) == windows.min((-2, -1))).all(-1)).astype(bool)
    inner = images[:, _AROUND:-_AROUND, _AROUND:-_AROUND]
    total, count = 0.0, 0
    for axis in (1, 2):
        both = _of(2, flat, axis, 0) & _of(2, flat, axis, 1)
        total += float(_apart(_of(2, inner, axis, 0), _of(2, inner, axis, 1))[both].sum())
        count += int(both.sum())
    return total / count if count else None, float(flat.mean())


def _of(count: int, values: NDArray[_T], axis: int, number: int) -> NDArray[_T]:
    """Of so many neighbours along an axis, the one of a number."""
    along = np.moveaxis(values, axis, 0)
    return np.moveaxis(along[number : len(along) - count + 1 + number], 0, axis)


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Absolute difference, mean over channels, levels."""
    difference: NDArray[np.float32] = np.abs(one.astype(np.float32) - other.astype(np.float32)).mean(-1)
    return difference
