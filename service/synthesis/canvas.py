"""A canvas: what a caller paints on, the changes of it, and what models read of it.

It is a label map, a scribble or a sketch, uint8 `[height, width]`: class ids, class ids and `NOT_DRAWN`, or
ink from 0 to 255.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from service.codecs.files import check_size
from service.codecs.label_map import resize_nearest
from service.codecs.scribble import NOT_DRAWN, resize_scribble, with_ids
from service.codecs.sketch import FULL_INK, resize_ink
from service.codecs.strokes import Stroke, check_strokes, draw_strokes
from service.core.errors import InvalidArgument, field_prefix
from service.core.limits import Limits
from service.synthesis.conditions.decoding import decode_greys, decode_label_map, decode_scribble_ids
from service.synthesis.conditions.types import CanvasOf, LabelMap, Scribble, ScribbleStrokes, Sketch
from service.synthesis.registry.models import ConditionKind, ConditionSupport, Model
from service.synthesis.requests import SingleLatentSource
from service.synthesis.styles.types import Styles

Canvas = NDArray[np.uint8]

Whole = LabelMap | Scribble | Sketch
"""A canvas as it is sent."""

_DRAW_SECONDS = 0.25
"""After which drawing leaves the rest of the updates to the next frame: a turn must not be held for long."""


class CanvasProblem(Enum):
    """Why there is no image of a canvas."""

    EMPTY = "empty"
    TOO_MUCH_INK = "too_much_ink"


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a painting; what is None stays as it is.

    Attributes:
        sequence: Its number.
        canvas: A canvas in place of the old one.
        strokes: Strokes on the canvas.
        latent_source: Where the latent of the images comes from.
        style_strength: The style strength.
        styles: How classes look, in place of all styles before.
        size_bytes: What it takes in memory.
    """

    sequence: int
    canvas: Whole | None = None
    strokes: Sequence[Stroke] | None = None
    latent_source: SingleLatentSource | None = None
    style_strength: float | None = None
    styles: Styles | None = None
    size_bytes: int = 0

    @property
    def draws(self) -> bool:
        """Whether it changes the canvas: such an update is kept until it is drawn."""
        return self.canvas is not None or self.strokes is not None


class Drawing:
    """Updates that are to be drawn on a canvas, on a worker.

    Args:
        kind: What the canvas is.
        model: The model that it is for.
        begin: The canvas that the caller began with.
        canvas: The canvas so far; None before the first frame.
        updates: To be drawn.
        limits: Their bounds.

    Attributes:
        canvas: The canvas as far as it is drawn; None before.
        left: Updates, the last ones, for which there was no time.
    """

    def __init__(
        self,
        kind: ConditionKind,
        model: Model,
        begin: Whole | CanvasOf,
        canvas: Canvas | None,
        updates: tuple[Update, ...],
        limits: Limits,
    ) -> None:
        self.canvas: Canvas | None = None
        self.updates = updates
        self.left = 0
        self._kind = kind
        self._model = model
        self._begin = begin
        self._before = canvas
        self._limits = limits

    def draw(self) -> Canvas:
        """Draw them, as far as there is time.

        Raises:
            InvalidArgument: The canvas cannot be decoded, or something is not allowed on it.
        """
        canvas, self.left = self._before, 0
        if canvas is None:
            assert not isinstance(self._begin, CanvasOf)
            with field_prefix("start"):
                canvas = self._decoded(self._begin)
        began = time.perf_counter()
        for number, update in enumerate(self.updates, 1):
            with field_prefix("update"):
                canvas = self._drawn(canvas, update)
            if time.perf_counter() - began > _DRAW_SECONDS:
                self.left = len(self.updates) - number
                break
        self.canvas = canvas
        return canvas

    def _drawn(self, canvas: Canvas, update: Update) -> Canvas:
        if update.canvas is not None:
            fresh = self._decoded(update.canvas)
            if fresh.shape != canvas.shape:
                (height, width), (old_height, old_width) = fresh.shape, canvas.shape
                raise InvalidArgument(
                    self._kind.value, f"{width} x {height} pixels", f"the canvas's {old_width} x {old_height}"
                )
            return fresh
        if update.strokes is not None:
            return self._with_strokes(canvas, update.strokes, "strokes.strokes")
        return canvas

    def _decoded(self, whole: Whole) -> Canvas:
        match whole:
            case Sketch(encoding):
                greys, _ = decode_greys(encoding, self._limits)
                ink: Canvas = FULL_INK - greys
                return ink
            case Scribble(ScribbleStrokes() as given):
                return self._scribble(given)
            case Scribble(encoding):
                assert not isinstance(encoding, ScribbleStrokes)
                return decode_scribble_ids(encoding, self._model, self._limits)[0]
        return decode_label_map(whole, self._model, self._limits)

    def _scribble(self, given: ScribbleStrokes) -> Canvas:
        support = self._model.conditions[ConditionKind.SCRIBBLE]
        height = support.height if given.height is None else given.height
        width = support.width if given.width is None else given.width
        check_size(width, height, field="scribble.strokes", limits=self._limits)
        empty = np.full((height, width), NOT_DRAWN, np.uint8)
        if not given.strokes:
            return empty
        return self._with_strokes(empty, given.strokes, "scribble.strokes.strokes")

    def _with_strokes(self, canvas: Canvas, strokes: Sequence[Stroke], field: str) -> Canvas:
        size = (canvas.shape[0], canvas.shape[1])
        palette_ids = () if self._kind is ConditionKind.SKETCH else self._model.class_ids
        erasable = self._kind is not ConditionKind.LABEL_MAP
        check_strokes(strokes, palette_ids, size, field=field, limits=self._limits, erasable=erasable)
        match self._kind:
            case ConditionKind.SKETCH:
                strokes = [replace(each, class_id=0 if each.erase else FULL_INK) for each in strokes]
            case ConditionKind.SCRIBBLE:
                strokes = with_ids(strokes)
        return draw_strokes(canvas, strokes)


def problem_of(kind: ConditionKind, canvas: Canvas, limits: Limits) -> CanvasProblem | None:
    """Why there is no image of a canvas; None if there is one."""
    match kind:
        case ConditionKind.SCRIBBLE if (canvas == NOT_DRAWN).all():
            return CanvasProblem.EMPTY
        case ConditionKind.SKETCH if int(canvas.max()) < limits.min_sketch_ink:
            return CanvasProblem.EMPTY
        case ConditionKind.SKETCH if float(canvas.mean()) > limits.max_mean_sketch_ink:
            return CanvasProblem.TOO_MUCH_INK
    return None


def as_read(kind: ConditionKind, canvas: Canvas, support: ConditionSupport) -> NDArray[np.uint8]:
    """A canvas at the size that the model reads, uint8 `[height, width]`."""
    match kind:
        case ConditionKind.SCRIBBLE:
            return resize_scribble(canvas, support.width, support.height)
        case ConditionKind.SKETCH:
            return resize_ink(canvas, support.width, support.height)
    return resize_nearest(canvas, support.width, support.height)
