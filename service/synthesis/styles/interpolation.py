"""The mathematics of styles: sums of codes, and the ways from one code to another. In double precision."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Code = NDArray[np.float32]
"""The code of a style, float32 `[style_size]`."""

_PARALLEL = 1e-7
"""Sine of the angle below which two codes count as parallel: float32 tells no smaller ones apart."""


def blend(parts: Iterable[tuple[float, Code]], *, limit: float) -> Code:
    """Sum codes by their weights, cut off at `limit` either way.

    A single code of weight 1 comes out as it went in.
    """
    total = sum(weight * code.astype(np.float64) for weight, code in parts)
    return _cut_off(np.asarray(total, np.float64), limit)


def straight(start: Code, end: Code, position: float, *, limit: float) -> Code:
    """The code at a position of the straight line: 0 is the start, 1 the end, beyond them it goes on."""
    if position in (0.0, 1.0):
        return end if position else start
    return _cut_off((1.0 - position) * start.astype(np.float64) + position * end.astype(np.float64), limit)


def spherical(start: Code, end: Code, position: float, *, limit: float) -> Code:
    """The code at a position of the arc between the directions of two codes (slerp).

    The length changes linearly, and not below 0. Straight where there is no one arc: when a code is 0, or
    when they are parallel.

    Source: K. Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985, section 3.3.
    """
    if position in (0.0, 1.0):
        return end if position else start
    lengths = [float(np.linalg.norm(code.astype(np.float64))) for code in (start, end)]
    if min(lengths) == 0.0:
        return straight(start, end, position, limit=limit)
    one, other = (
        code.astype(np.float64) / length for code, length in zip((start, end), lengths, strict=True)
    )
    # Of sum and difference, as the arc cosine of the product is inexact for small angles.
    angle = 2.0 * float(np.arctan2(np.linalg.norm(one - other), np.linalg.norm(one + other)))
    sine = np.sin(angle)
    if sine < _PARALLEL:
        return straight(start, end, position, limit=limit)
    direction = (np.sin((1.0 - position) * angle) * one + np.sin(position * angle) * other) / sine
    length = max(0.0, (1.0 - position) * lengths[0] + position * lengths[1])
    return _cut_off(length * direction, limit)


def _cut_off(code: NDArray[np.float64], limit: float) -> Code:
    return np.clip(code, -limit, limit).astype(np.float32)
