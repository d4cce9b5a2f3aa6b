"""The styles that images are given: sums of codes, and the ways from one code to another.

What is drawn from seeds is drawn once for all images of a request. The mathematics is in double precision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from service.core.limits import Limits
from service.engine.base import Inference, Task
from service.synthesis.registry import tensors
from service.synthesis.validation.images import ValidatedRequest
from service.synthesis.validation.latents import latent_from_seed
from service.synthesis.validation.styles import GivenStyles, Recipe
from service.synthesis.work import Timings

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


class StyleMixer:
    """The styles of one request's images.

    Args:
        request: A request for a model with styles.
        limits: Bounds of a code.
    """

    def __init__(self, request: ValidatedRequest, limits: Limits) -> None:
        assert request.styles is not None
        assert request.model.styles is not None
        self._request = request
        self._given = request.styles
        self._support = request.model.styles
        self._limit = limits.max_style_value
        self._ends: tuple[Mapping[int, Code], ...] = ()
        self._present: Collection[int] | None = None

    def only(self, styles: Collection[int]) -> None:
        """Give these styles alone, by their indices: the label map has no others."""
        self._present = styles

    def prepare(self, timings: Timings) -> Task[None]:
        """Find the codes of every end; the prior runs once for each seed that is named."""
        singles: dict[int, NDArray[np.float32]] = {}
        for seed in self._given.seeds:
            latent = latent_from_seed(seed, self._request.model)
            singles[seed] = yield from self._draw(tensors.SINGLE_STYLES, latent, timings)
        ends = [self._codes(given, singles) for given in self._given.ends]
        styles = {style for end in ends for style in end}
        if any(end.keys() != styles for end in ends):
            joint = yield from self._draw(tensors.JOINT_STYLES, self._request.latents[0].values, timings)
            # As it is, without cutting off: at this end the image is the one without the style.
            ends = [{style: end.get(style, joint[style]) for style in styles} for end in ends]
        self._ends = tuple(ends)

    def mix(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The styles of an image.

        Returns:
            The codes, float32 `[styles, style_size]`, and uint8 `[styles]`, 1 where the code counts.
        """
        codes = np.zeros((self._support.count, self._support.size), np.float32)
        given = np.zeros(self._support.count, np.uint8)
        for style, code in self._at(index).items():
            if self._present is None or style in self._present:
                codes[style], given[style] = code, 1
        return codes, given

    def _at(self, index: int) -> Mapping[int, Code]:
        if not self._given.positions:
            return self._ends[0]
        path, position = spherical if self._given.spherical else straight, self._given.positions[index]
        start, end = self._ends
        return {style: path(start[style], end[style], position, limit=self._limit) for style in start}

    def _draw(self, name: str, latent: NDArray[np.float32], timings: Timings) -> Task[NDArray[np.float32]]:
        """What the prior makes of a latent, float32 `[styles, style_size]`."""
        outputs = (tensors.JOINT_STYLES, tensors.SINGLE_STYLES)
        result = yield Inference(self._support.prior, {tensors.LATENT: latent[np.newaxis]}, outputs)
        timings.stages += result.timings
        drawn: NDArray[np.float32] = result.outputs[name][0]
        return drawn

    def _codes(self, given: GivenStyles, singles: Mapping[int, NDArray[np.float32]]) -> dict[int, Code]:
        def code(style: int, recipe: Recipe) -> Code:
            parts = (
                (
                    weight,
                    singles[source][style] if isinstance(source, int) else np.frombuffer(source, np.float32),
                )
                for weight, source in recipe
            )
            return blend(parts, limit=self._limit)

        return {style: code(style, recipe) for style, recipe in given.recipes.items()}
