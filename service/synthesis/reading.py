"""Reading label maps, as work: off a caller's image, or off the generator's own image of a latent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.codecs.image import encode_image
from service.codecs.label_map import run_lengths, write_palette_png
from service.codecs.provenance import DigitalSourceType
from service.codecs.source_image import resize_image
from service.core.errors import EngineFailure
from service.core.limits import LIMITS, Limits
from service.engine.base import Array, Inference, Priority, Task
from service.synthesis.conditions.decoding import decode_image_of_any_size
from service.synthesis.conditions.types import (
    EncodedIds,
    ImageFile,
    PngLabelMap,
    RawImage,
    RawLabelMap,
    RunLengthLabelMap,
)
from service.synthesis.images import Image
from service.synthesis.marking import XMP_ONLY, Marking
from service.synthesis.registry import tensors
from service.synthesis.registry.models import Model
from service.synthesis.requests import LabelMapEncoding
from service.synthesis.validation.reading import ValidatedReading
from service.synthesis.work import Timings

UNCONDITIONAL = "none"
"""What images are counted as that follow no condition, where others have their kind."""


@dataclass(frozen=True, slots=True)
class ReadLabelMap:
    """A label map that was read.

    Attributes:
        label_map: Encoded as the caller asked.
        image: What it was read off; None for an image of the caller's.
        timings: The time it took.
    """

    label_map: EncodedIds
    image: Image | None
    timings: Timings


class ReadLabelMapWork:
    """Reads one label map.

    Args:
        reading: What is read.
        limits: Bounds of what is decoded.
        marking: How the file of an image is marked.
    """

    images = 1
    images_field = ""

    def __init__(
        self, reading: ValidatedReading, limits: Limits = LIMITS, marking: Marking = XMP_ONLY
    ) -> None:
        self.reading = reading
        self._limits = limits
        self._marking = marking
        self._inputs: Mapping[str, Array] = {}
        self._decode_seconds = 0.0

    @property
    def model(self) -> str:
        """The model, by the name that callers use."""
        return self.reading.model.name

    @property
    def model_version(self) -> str:
        """Its version."""
        return self.reading.model.version

    @property
    def served_by(self) -> str:
        """The model of the repository that reads it."""
        return self.reading.served_by

    @property
    def priority(self) -> Priority:
        """Whether somebody waits."""
        return self.reading.request.priority

    @property
    def labels(self) -> tuple[str, str] | None:
        """What the image of a latent is counted as, and its file format."""
        return None if self.reading.latent is None else (UNCONDITIONAL, self.reading.image_format)

    def prepare(self, timings: Timings) -> Task[None]:
        """Decode the image and bring it to the model's size, or draw the latent."""
        yield from ()
        began = time.perf_counter()
        model, source, latent = self.reading.model, self.reading.request.source, self.reading.latent
        if latent is not None:
            self._inputs = {tensors.LATENT: latent.values[np.newaxis]}
        elif isinstance(source, ImageFile | RawImage):
            pixels = decode_image_of_any_size(source, self._limits, field="picture")
            pixels = resize_image(pixels, model.image_width, model.image_height)
            self._inputs = {tensors.PICTURE: pixels[np.newaxis]}
        self._decode_seconds = time.perf_counter() - began

    def produce(self, index: int, timings: Timings) -> Task[ReadLabelMap]:
        """Run what reads, and encode."""
        latent = self.reading.latent
        outputs = (tensors.LABEL_MAP,) if latent is None else (tensors.IMAGE, tensors.LABEL_MAP)
        result = yield Inference(self.served_by, self._inputs, outputs)
        timings.stages += result.timings
        timings.decode = self._decode_seconds
        began = time.perf_counter()
        ids = result.outputs[tensors.LABEL_MAP][0]
        self._check(ids)
        label_map = _encoded(ids, self.reading.request.encoding, self.reading.model)
        image = None
        if latent is not None:
            image = self._image(index, result.outputs[tensors.IMAGE][0], latent.seed, timings)
        timings.encode = time.perf_counter() - began
        return ReadLabelMap(label_map, image, timings)

    def _check(self, ids: NDArray[np.uint8]) -> None:
        """Let nothing out that Synthesize would refuse.

        Raises:
            EngineFailure: The model gave classes that its palette has not.
        """
        strange = set(np.unique(ids).tolist()) - set(self.reading.model.class_ids)
        if strange:
            raise EngineFailure(
                f"{self.served_by} gave class ids that its palette has not: {sorted(strange)}"
            )

    def _image(self, index: int, pixels: NDArray[np.uint8], seed: int | None, timings: Timings) -> Image:
        image_format, source = self.reading.image_format, DigitalSourceType.TRAINED
        data = encode_image(pixels, image_format, self.reading.request.image_quality)
        file = self._marking.mark(data, image_format, source, self.reading.model)
        height, width, _ = pixels.shape
        return Image(index, file, source, image_format, width, height, seed, timings)


def _encoded(ids: NDArray[np.uint8], encoding: LabelMapEncoding, model: Model) -> EncodedIds:
    height, width = ids.shape
    match encoding:
        case LabelMapEncoding.PNG:
            return PngLabelMap(write_palette_png(ids, {id_: rgb for rgb, id_ in model.id_of_colour.items()}))
        case LabelMapEncoding.RAW:
            return RawLabelMap(ids.tobytes(), width, height)
        case LabelMapEncoding.RUN_LENGTH:
            return RunLengthLabelMap(*run_lengths(ids), width, height)
