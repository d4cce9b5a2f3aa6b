"""What is wished for of a face: label maps changed as somebody with a brush might, by rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Change = Callable[[Labels, Labels], Labels]
"""Of a face's label map `[H, W]` and another face's, the map that is wished for."""

BACKGROUND, HAIR, SKIN, BROWS, EYES, NOSE, MOUTH, NECK = range(8)
EAR = 7.0
"""Radius of an ear as nobody has it, of 64 pixels."""


def other_hair(own: Labels, other: Labels) -> Labels:
    """Hair and background as the other has them, wherever both have one of the two."""
    free = np.isin(own, (BACKGROUND, HAIR)) & np.isin(other, (BACKGROUND, HAIR))
    return np.where(free, other, own)


def more_hair(own: Labels, _: Labels) -> Labels:
    """Background becomes hair where hair, skin or neck are at most 5 pixels away."""
    near = own != BACKGROUND
    for _step in range(5):
        grown = near.copy()
        grown[1:] |= near[:-1]
        grown[:-1] |= near[1:]
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        near = grown
    return np.where(near & (own == BACKGROUND), HAIR, own).astype(np.uint8)


def no_hair(own: Labels, _: Labels) -> Labels:
    """Hair above the brows becomes skin below the middle of the face's top, and background above."""
    result = own.copy()
    skin_rows = np.nonzero((own == SKIN).any(1))[0]
    top = max(int(skin_rows.min()) - 6, 0) if len(skin_rows) else 0
    rows, columns = np.nonzero(own == HAIR)
    face = np.nonzero((own == SKIN).any(0))[0]
    middle, half = (face.mean(), max(len(face) / 2, 1)) if len(face) else (own.shape[1] / 2, 1)
    inside = (rows >= top) & (np.abs(columns - middle) < half * np.sqrt(np.clip((rows - top + 1) / 12, 0, 1)))
    result[rows, columns] = np.where(inside, SKIN, BACKGROUND)
    return result


def other_mouth(own: Labels, other: Labels) -> Labels:
    """The other's mouth, moved to where the own one is."""
    return _moved(own, other, MOUTH)


def other_eyes(own: Labels, other: Labels) -> Labels:
    """The other's eyes and brows, moved to where the own eyes are."""
    return _moved(_moved(own, other, BROWS), other, EYES)


def no_nose(own: Labels, _: Labels) -> Labels:
    """No nose at all."""
    return np.where(own == NOSE, SKIN, own).astype(np.uint8)


def huge_ears(own: Labels, _: Labels) -> Labels:
    """Two discs of skin beside the face."""
    rows, columns = np.nonzero(own == SKIN)
    if not len(rows):
        return own
    y, x = np.mgrid[: own.shape[0], : own.shape[1]]
    radius = EAR * own.shape[0] / 64
    discs = [np.hypot(y - rows.mean(), x - edge) < radius for edge in (columns.min() - 2, columns.max() + 2)]
    return np.where(np.logical_or(*discs), SKIN, own).astype(np.uint8)


def another(_: Labels, other: Labels) -> Labels:
    """All of the other's."""
    return other


WISHES: Mapping[str, Change] = MappingProxyType(
    {
        each.__name__: each
        for each in (
            other_hair,
            more_hair,
            no_hair,
            other_mouth,
            other_eyes,
            no_nose,
            huge_ears,
            another,
        )
    }
)
"""By name, the usual ones first."""


def _moved(own: Labels, other: Labels, part: int) -> Labels:
    """A part as the other has it, centred where the own one is; what it leaves behind becomes skin."""
    mine, theirs = np.argwhere(own == part), np.argwhere(other == part)
    if not (len(mine) and len(theirs)):
        return own
    places = theirs + np.rint(mine.mean(0) - theirs.mean(0)).astype(int)
    result = np.where(own == part, SKIN, own).astype(np.uint8)
    kept = ((places >= 0) & (places < own.shape)).all(1)
    result[places[kept, 0], places[kept, 1]] = part
    return result
