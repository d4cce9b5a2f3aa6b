"""A frame of a painting as work: on its worker updates are drawn on the canvas, then its image is made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.codecs.strokes import Stroke, check_strokes, draw_strokes
from service.core.errors import InvalidArgument, field_prefix
from service.core.limits import Limits
from service.synthesis.conditions.decoding import decode_condition, decode_label_map
from service.synthesis.conditions.types import DecodedLabelMap, LabelMap
from service.synthesis.images import ImageWork
from service.synthesis.marking import Marking
from service.synthesis.requests import SingleLatentSource
from service.synthesis.validation.images import ValidatedRequest

Canvas = NDArray[np.uint8]
"""Class ids, uint8 `[height, width]`."""

_DRAW_SECONDS = 0.25
"""After which drawing leaves the rest of the updates to the next frame: a turn must not be held for long."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a painting; what is None stays as it is.

    Attributes:
        sequence: Its number.
        label_map: A canvas in place of the old one.
        strokes: Strokes on the canvas.
        latent_source: Where the latent of the images comes from.
        style_strength: The style strength.
        size_bytes: What it takes in memory.
    """

    sequence: int
    label_map: LabelMap | None = None
    strokes: Sequence[Stroke] | None = None
    latent_source: SingleLatentSource | None = None
    style_strength: float | None = None
    size_bytes: int = 0

    @property
    def draws(self) -> bool:
        """Whether it changes the canvas: such an update is kept until it is drawn."""
        return self.label_map is not None or self.strokes is not None


class CanvasWork(ImageWork):
    """The image of a canvas on which updates are drawn first.

    Args:
        request: Of the painting; its condition is the canvas that the caller began with.
        canvas: The canvas so far; None before the first frame.
        updates: To be drawn.
        limits: Bounds of an update.
        marking: How the frame is marked.
    """

    def __init__(
        self,
        request: ValidatedRequest,
        canvas: Canvas | None,
        updates: tuple[Update, ...],
        limits: Limits,
        marking: Marking,
    ) -> None:
        super().__init__(request, limits, marking)
        self.canvas: Canvas | None = None
        self.updates = updates
        self.left = 0
        """Updates, the last ones, for which there was no time in this frame."""
        self._before = canvas
        self._bounds = limits

    def decode(self) -> NDArray[np.uint8]:
        """Draw the updates, and resize the canvas to what the model reads."""
        canvas = self._before
        if canvas is None:
            assert isinstance(self.request.condition, LabelMap)  # the contract has no other for paintings
            with field_prefix("start"):
                canvas = decode_label_map(self.request.condition, self.request.model, self._bounds)
        began = time.perf_counter()
        for number, update in enumerate(self.updates, 1):
            with field_prefix("update"):
                canvas = self._drawn(canvas, update)
            if time.perf_counter() - began > _DRAW_SECONDS:
                self.left = len(self.updates) - number
                break
        self.canvas = canvas
        return decode_condition(replace(self.request, condition=DecodedLabelMap(canvas)), self._bounds)

    def _drawn(self, canvas: Canvas, update: Update) -> Canvas:
        model = self.request.model
        if update.label_map is not None:
            fresh = decode_label_map(update.label_map, model, self._bounds)
            if fresh.shape != canvas.shape:
                (height, width), (old_height, old_width) = fresh.shape, canvas.shape
                raise InvalidArgument(
                    "label_map", f"{width} x {height} pixels", f"the canvas's {old_width} x {old_height}"
                )
            return fresh
        if update.strokes is not None:
            size = (canvas.shape[0], canvas.shape[1])
            check_strokes(update.strokes, model.class_ids, size, field="strokes.strokes", limits=self._bounds)
            return draw_strokes(canvas, update.strokes)
        return canvas
