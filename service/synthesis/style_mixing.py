"""Makes the styles that pictures are given: what is drawn from seeds is drawn once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.core.limits import Limits
from service.engine.base import InferenceResult, StageTiming
from service.synthesis import tensors
from service.synthesis.models import Model, StyleSupport
from service.synthesis.starts import latent_from_seed
from service.synthesis.style_orders import GivenStyles, Recipe, StyleOrder
from service.synthesis.style_paths import Code, blend, spherical, straight

Draw = Callable[[NDArray[np.float32]], Awaitable[InferenceResult]]
"""Runs the prior on a latent, float32 `[latent_size]`."""


@dataclass(frozen=True, slots=True)
class MixedStyles:
    """What a picture is given.

    Attributes:
        codes: float32 `[styles, style_size]`.
        given: uint8 `[styles]`: 1 where the code counts.
        timings: What it took to know them; of the picture that asked first, nothing for the others.
    """

    codes: NDArray[np.float32]
    given: NDArray[np.uint8]
    timings: tuple[StageTiming, ...]


class StyleMixer:
    """The styles of one request's pictures. Belongs to one event loop.

    Args:
        order: What is asked for.
        model: The model, which has styles.
        draw: Runs the model's prior.
        limits: Bounds of a code.
    """

    def __init__(self, order: StyleOrder, model: Model, draw: Draw, limits: Limits) -> None:
        assert model.styles is not None
        self._order = order
        self._model = model
        self._support: StyleSupport = model.styles
        self._draw = draw
        self._limit = limits.max_style_value
        self._ends: tuple[Mapping[int, Code], ...] | None = None
        self._first = asyncio.Lock()

    async def mix(self, index: int, latent: NDArray[np.float32]) -> MixedStyles:
        """The styles of a picture.

        Args:
            index: Which one it is.
            latent: Its own.

        Raises:
            MaskweaveError: The prior could not be run.
        """
        timings: list[StageTiming] = []
        async with self._first:
            if self._ends is None:
                self._ends = await self._find_ends(latent, timings)
        codes = np.zeros((self._support.count, self._support.size), np.float32)
        given = np.zeros(self._support.count, np.uint8)
        for style, code in self._at(index, self._ends).items():
            codes[style], given[style] = code, 1
        return MixedStyles(codes, given, tuple(timings))

    def _at(self, index: int, ends: tuple[Mapping[int, Code], ...]) -> Mapping[int, Code]:
        if not self._order.positions:
            return ends[0]
        way, position = spherical if self._order.spherical else straight, self._order.positions[index]
        start, end = ends
        return {style: way(start[style], end[style], position, limit=self._limit) for style in start}

    async def _find_ends(
        self, latent: NDArray[np.float32], timings: list[StageTiming]
    ) -> tuple[Mapping[int, Code], ...]:
        async def drawn(name: str, of: NDArray[np.float32]) -> NDArray[np.float32]:
            result = await self._draw(of)
            timings.extend(result.timings)
            styles: NDArray[np.float32] = result.outputs[name][0]
            return styles

        singles = {
            seed: await drawn(tensors.SINGLE_STYLES, latent_from_seed(seed, self._model))
            for seed in self._order.seeds
        }
        ends = [self._codes(given, singles) for given in self._order.ends]
        styles = {style for end in ends for style in end}
        if any(end.keys() != styles for end in ends):
            joint = await drawn(tensors.JOINT_STYLES, latent)
            # As it is, without cutting off: at this end the picture is the one without the style.
            ends = [{style: end.get(style, joint[style]) for style in styles} for end in ends]
        return tuple(ends)

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
