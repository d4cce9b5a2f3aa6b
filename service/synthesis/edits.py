"""Edits, as work: make what changed anew and blend it into what was there."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from service.codecs.blending import blend
from service.codecs.image import encode_image
from service.codecs.label_map import resize_nearest
from service.codecs.provenance import DigitalSourceType
from service.core.limits import LIMITS, Limits
from service.engine.base import Array, Inference, Priority, Task
from service.synthesis.conditions.decoding import decode_label_map, decode_source_image
from service.synthesis.conditions.types import EncodedImage, LabelMap
from service.synthesis.images import Image
from service.synthesis.marking import XMP_ONLY, Marking
from service.synthesis.registry import tensors
from service.synthesis.validation.edits import ValidatedEdit
from service.synthesis.work import Timings

EDIT = "edit"
"""What images are counted as that an edit made, where others have their kind of condition."""

Pixels = NDArray[np.uint8]


class EditWork:
    """One edit of an image, or of what a seed gives.

    Args:
        edit: The edit.
        limits: Bounds of what is decoded.
        marking: How the file is marked.
        before: The image that is edited, where it has been read, or made of the source label map, before.

    Attributes:
        before: That image, RGB, uint8 `[height, width, 3]`; None before it is read, and where none is needed.
    """

    images = 1
    images_field = ""

    def __init__(
        self,
        edit: ValidatedEdit,
        limits: Limits = LIMITS,
        marking: Marking = XMP_ONLY,
        *,
        before: Pixels | None = None,
    ) -> None:
        self.edit = edit
        self._limits = limits
        self._marking = marking
        self._inputs: dict[str, Array] = {}
        self.before = before
        self._source: Pixels | None = None
        self._target = np.zeros((0, 0), np.uint8)
        self._decode_seconds = 0.0
        self.target_stages = 0
        """How many of the stages were of the target; those after them are of the source."""

    @property
    def model(self) -> str:
        """The model, by the name that callers use."""
        return self.edit.model.name

    @property
    def model_version(self) -> str:
        """Its version."""
        return self.edit.model.version

    @property
    def served_by(self) -> str:
        """The model of the repository that makes it."""
        return self.edit.served_by

    @property
    def priority(self) -> Priority:
        """Whether somebody waits."""
        return self.edit.request.priority

    @property
    def labels(self) -> tuple[str, str]:
        """What it is counted as, and the file format."""
        return EDIT, self.edit.request.image_format.value

    def prepare(self, timings: Timings) -> Task[None]:
        """Decode the image and the label maps."""
        yield from ()
        began = time.perf_counter()
        edit, request = self.edit, self.edit.request
        if edit.style_strength is not None:
            self._inputs[tensors.STYLE_STRENGTH] = np.array([[edit.style_strength]], np.float32)
        if edit.latent is not None:
            self._inputs[tensors.LATENT] = edit.latent.values[np.newaxis]
        elif isinstance(request.source, EncodedImage):
            if self.before is None:
                self.before = decode_source_image(request.source, edit.model, self._limits)
            self._inputs[tensors.PICTURE] = self.before[np.newaxis]
        self._target = self._read(request.target_label_map, "target_label_map")
        if request.source_label_map is not None:
            self._source = self._read(request.source_label_map, "source_label_map")
        self._decode_seconds = time.perf_counter() - began

    def produce(self, index: int, timings: Timings) -> Task[Image]:
        """Make what the target label map shows and, if there is a source label map, blend it in."""
        edit = self.edit
        after = yield from self._made(self._target, timings)
        self.target_stages = len(timings.stages)
        if self._source is not None and self.before is None:
            self.before = yield from self._made(self._source, timings)
        began = time.perf_counter()
        height, width, _ = after.shape
        if self._source is not None and self.before is not None:
            differs = (self._source != self._target).astype(np.uint8)
            changed = resize_nearest(differs, width, height).astype(np.bool_)
            after = blend(self.before, after, changed, edit.blend_width)
        image_format = edit.request.image_format
        # What comes from a seed or a latent is the model's own before the edit, too.
        source = DigitalSourceType.COMPOSITE if edit.latent is None else DigitalSourceType.TRAINED
        data = encode_image(after, image_format, edit.request.image_quality)
        file = self._marking.mark(data, image_format, source, edit.model)
        timings.decode = self._decode_seconds
        timings.encode = time.perf_counter() - began
        seed = None if edit.latent is None else edit.latent.seed
        return Image(index, file, source, image_format, width, height, seed, timings)

    def _made(self, label_map: Pixels, timings: Timings) -> Task[Pixels]:
        """What the models make of a label map, RGB, uint8 `[height, width, 3]`."""
        inputs = {**self._inputs, tensors.LABEL_MAP: label_map[np.newaxis]}
        result = yield Inference(self.served_by, inputs, (tensors.IMAGE,))
        timings.stages += result.timings
        pixels: Pixels = result.outputs[tensors.IMAGE][0]
        return pixels

    def _read(self, label_map: LabelMap, field: str) -> Pixels:
        """A label map at the size that the model reads."""
        ids = decode_label_map(label_map, self.edit.model, self._limits, field=field)
        return resize_nearest(ids, self.edit.support.width, self.edit.support.height)
