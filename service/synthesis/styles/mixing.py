"""The styles that images are given: what is drawn from seeds is drawn once for all images of a request."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.core.limits import Limits
from service.engine.base import Inference, Task
from service.synthesis.registry import tensors
from service.synthesis.styles.interpolation import Code, blend, spherical, straight
from service.synthesis.timings import Timings
from service.synthesis.validation.images import ValidatedRequest
from service.synthesis.validation.latents import latent_from_seed
from service.synthesis.validation.styles import GivenStyles, Recipe


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
