"""A frame of a painting as work: on its worker updates are drawn on the canvas, then its image is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.core.errors import InvalidArgument, field_prefix
from service.core.limits import Limits
from service.engine.base import Task
from service.synthesis.canvas import CanvasProblem, Drawing, as_read, problem_of
from service.synthesis.conditions.types import DecodedLabelMap, ImageFile
from service.synthesis.edits import EditWork, Pixels
from service.synthesis.images import Image, ImageWork
from service.synthesis.marking import Marking
from service.synthesis.registry.models import ConditionKind
from service.synthesis.validation.edits import ValidatedEdit
from service.synthesis.validation.images import ValidatedRequest
from service.synthesis.work import Timings

EDIT_FIELDS = ("picture", "source_label_map", "blend_width")
"""The fields of an edit that a painting has in its message `edit`."""


@dataclass(frozen=True, slots=True)
class Blank:
    """What there is in place of an image.

    Attributes:
        problem: Why there is none.
        timings: The time of the frame.
    """

    problem: CanvasProblem
    timings: Timings


class CanvasWork(ImageWork):
    """The image of a canvas on which updates are drawn first.

    Args:
        request: Of the painting.
        drawing: What is drawn; its canvas takes the place of the request's condition.
        limits: Bounds of what is decoded.
        marking: How the frame is marked.
    """

    def __init__(self, request: ValidatedRequest, drawing: Drawing, limits: Limits, marking: Marking) -> None:
        super().__init__(request, limits, marking)
        self.drawing = drawing
        self._problem: CanvasProblem | None = None
        self._bounds = limits

    @property
    def labels(self) -> tuple[str, str] | None:  # type: ignore[override]  # what has no image is not counted
        """Kind of condition and file format."""
        return None if self._problem else super().labels

    def prepare(self, timings: Timings) -> Task[None]:
        """Draw the updates; where that leaves something to make an image of, prepare it."""
        canvas = self.drawing.draw()
        self._problem = problem_of(self.request.support.kind, canvas, self._bounds)
        if self._problem is None:
            yield from super().prepare(timings)

    def decode(self) -> NDArray[np.uint8]:
        """The canvas as the model reads it."""
        canvas, kind = self.drawing.canvas, self.request.support.kind
        assert canvas is not None
        styles = self.request.model.styles
        if self._styles is not None and styles is not None and kind is ConditionKind.LABEL_MAP:
            self._styles.only({styles.style_of_class[class_id] for class_id in np.unique(canvas).tolist()})
        return as_read(kind, canvas, self.request.support)

    def produce(self, index: int, timings: Timings) -> Task[Image | Blank]:  # type: ignore[override]
        """Make the image, if there is one."""
        if self._problem is not None:
            return Blank(self._problem, timings)
        return (yield from super().produce(index, timings))


class CanvasEditWork(EditWork):
    """An edit whose target label map is a canvas on which updates are drawn first.

    Args:
        edit: The edit; its target label map is replaced.
        drawing: What is drawn.
        before: The image that is edited, where an earlier frame has made or read it.
        limits: Bounds of what is decoded.
        marking: How the frame is marked.
    """

    def __init__(
        self,
        edit: ValidatedEdit,
        drawing: Drawing,
        before: Pixels | None,
        limits: Limits,
        marking: Marking,
    ) -> None:
        super().__init__(edit, limits, marking, before=before)
        self.given = edit
        self.drawing = drawing

    @property
    def kept(self) -> ValidatedEdit:
        """The edit for further frames, which find what is edited in `before`: without the bytes of it."""
        request = self.edit.request
        if self.edit.latent is None:
            request = replace(request, source=ImageFile(b""))
        if self._source is not None:
            request = replace(request, source_label_map=DecodedLabelMap(self._source))
        return replace(self.edit, request=request)

    def prepare(self, timings: Timings) -> Task[None]:
        """Draw the updates, and decode what is edited."""
        canvas = DecodedLabelMap(self.drawing.draw())
        self.edit = replace(self.edit, request=replace(self.edit.request, target_label_map=canvas))
        try:
            yield from super().prepare(timings)
        except InvalidArgument as error:
            with field_prefix("start"):
                raise in_edit(error) from error


def in_edit(error: InvalidArgument) -> InvalidArgument:
    """A failure of an edit as one of a painting: the field by its path in the painting's start."""
    if error.field.split(".", 1)[0] not in EDIT_FIELDS:
        return error
    return InvalidArgument(f"edit.{error.field}", error.value, error.allowed)
