"""Images from conditions, as work: decode the condition, run the model once per image, encode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.codecs.image import ImageFormat, encode_image
from service.codecs.provenance import DigitalSourceType
from service.core.limits import LIMITS, Limits
from service.engine.base import Array, Inference, Task
from service.synthesis.conditions.decoding import decode_condition
from service.synthesis.marking import XMP_ONLY, Marked, Marking
from service.synthesis.registry import tensors
from service.synthesis.styles.mixing import StyleMixer
from service.synthesis.validation.images import ValidatedRequest
from service.synthesis.work import Timings


@dataclass(frozen=True, slots=True)
class Image:
    """One finished image.

    Attributes:
        index: Which of the request's images it is, from 0.
        file: The file, and how it is marked.
        source: How the image came about.
        format: Its format.
        width: Width in pixels.
        height: Height in pixels.
        seed: The seed it came from, or None for an explicit latent.
        timings: Its time.
    """

    index: int
    file: Marked
    source: DigitalSourceType
    format: ImageFormat
    width: int
    height: int
    seed: int | None
    timings: Timings


class ImageWork:
    """The images of one request.

    Args:
        request: The request.
        limits: Bounds of what is decoded.
        marking: How the files are marked.

    Attributes: as `Work` has them.
    """

    def __init__(
        self, request: ValidatedRequest, limits: Limits = LIMITS, marking: Marking = XMP_ONLY
    ) -> None:
        self.request = request
        # Plain attributes: they are asked for a dozen times on the way of a request.
        self.model = request.model.name
        self.model_version = request.model.version
        self.served_by = request.support.served_by  # the ensemble: each kind of condition takes its own time
        self.priority = request.priority
        self.images = len(request.latents)
        self.images_field = request.images_field
        self._limits = limits
        self._marking = marking
        self._inputs: Mapping[str, Array] = {}
        self._decode_seconds = 0.0
        styled = request.styles is not None and request.model.styles is not None
        self._styles = StyleMixer(request, limits) if styled else None

    @property
    def labels(self) -> tuple[str, str]:
        """Kind of condition and file format."""
        return self.request.support.kind, self.request.image_format

    def position(self, index: int) -> float:
        """Where an image is between two ends of styles."""
        assert self.request.styles is not None
        return self.request.styles.positions[index]

    def prepare(self, timings: Timings) -> Task[None]:
        """Decode the condition, and make the styles that all images share."""
        began = time.perf_counter()
        request = self.request
        condition = self.decode()
        inputs: dict[str, Array] = {tensors.CONDITIONS[request.support.kind][0]: condition[np.newaxis]}
        if request.style_strength is not None:
            inputs[tensors.STYLE_STRENGTH] = np.array([[request.style_strength]], np.float32)
        self._inputs = inputs
        self._decode_seconds = time.perf_counter() - began
        if self._styles is not None:
            yield from self._styles.prepare(timings)

    def decode(self) -> NDArray[np.uint8]:
        """The condition as the model reads it."""
        return decode_condition(self.request, self._limits)

    def produce(self, index: int, timings: Timings) -> Task[Image]:
        """Make one image."""
        request = self.request
        latent = request.latents[index]
        inputs = {**self._inputs, tensors.LATENT: latent.values[np.newaxis]}
        if self._styles is not None:
            codes, given = self._styles.mix(index)
            inputs[tensors.GIVEN_STYLES] = codes[np.newaxis]
            inputs[tensors.STYLE_GIVEN] = given[np.newaxis]
        result = yield Inference(self.served_by, inputs, (tensors.IMAGE,))
        pixels = result.outputs[tensors.IMAGE][0]
        began = time.perf_counter()
        source = DigitalSourceType.TRAINED
        data = encode_image(pixels, request.image_format, request.image_quality)
        file = self._marking.mark(data, request.image_format, source, request.model)
        timings.decode = self._decode_seconds
        timings.stages += result.timings
        timings.encode = time.perf_counter() - began
        height, width, _ = pixels.shape
        return Image(index, file, source, request.image_format, width, height, latent.seed, timings)
