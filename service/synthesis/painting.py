"""A painting: a canvas that a caller changes, and frames of it, always of the latest.

Updates are checked as they come and wait until the next frame takes all of them. A frame is work like any
other: on its worker the updates are drawn, then the image of the canvas is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.codecs.strokes import Stroke, check_strokes, draw_strokes
from service.core.errors import InvalidArgument, Overloaded, QuotaExceeded, field_prefix
from service.core.limits import LIMITS, Limits
from service.synthesis.conditions.decoding import decode_condition, decode_label_map
from service.synthesis.conditions.types import DecodedLabelMap, LabelMap
from service.synthesis.images import Image, ImageWork
from service.synthesis.registry.models import Model
from service.synthesis.requests import CallContext, FirstSeed, SingleLatentSource, SynthesisRequest
from service.synthesis.runner import Runner
from service.synthesis.validation.images import ValidatedRequest, check_request

Canvas = NDArray[np.uint8]
"""Class ids, uint8 `[height, width]`."""

_MAX_PAUSE_SECONDS = 1.0
"""The longest wait before a frame that the queue refused is tried again."""

_MAX_PENDING_UPDATES = 64
_MAX_PENDING_BYTES = 2**20
"""Updates that may wait for the next frame before no more are read; a single larger one is taken alone."""


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
        size_bytes: Size of the message it came in.
    """

    sequence: int
    label_map: LabelMap | None = None
    strokes: Sequence[Stroke] | None = None
    latent_source: SingleLatentSource | None = None
    style_strength: float | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """An image of the canvas.

    Attributes:
        sequence: The latest update in it; 0 for the canvas as it began.
        dropped: Updates since the frame before that have no frame of their own.
        image: The image.
        model: The model that made it.
        began: `time.perf_counter()` when the frame was begun.
    """

    sequence: int
    dropped: int
    image: Image
    model: Model
    began: float


class Painting:
    """One painting. Belongs to one event loop.

    Args:
        request: What the caller began with; its label map is decoded with the first frame.
        registry: The models on offer.
        limits: Bounds of an update.

    Raises:
        InvalidArgument: A field has a value that is not allowed.
        NotFound: There is no such model.
    """

    def __init__(
        self, request: SynthesisRequest, registry: Mapping[str, Model], limits: Limits = LIMITS
    ) -> None:
        self._registry = registry
        self._limits = limits
        validated = check_request(request, registry, limits)
        if request.latent_source is None:
            # Drawn once, or every frame would be another person.
            seed = validated.latents[0].seed
            assert seed is not None
            request = replace(request, latent_source=FirstSeed(seed))
        self._request = request
        self._validated = validated
        self._canvas: Canvas | None = None
        self._pending: list[Update] = []
        self._pending_bytes = 0
        self._sequence = 0
        self._changes = 1  # the canvas as it is at the beginning
        self._finished = False
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        self._news.set()
        self._space = asyncio.Event()
        self._space.set()

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._validated.model.name

    async def apply(self, update: Update) -> None:
        """Take an update in; waits while too many wait for their frame. One at a time.

        What it draws is checked when it is drawn; that ends the painting if it is not allowed.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
        """
        if update.sequence <= self._sequence:
            raise InvalidArgument("sequence", update.sequence, f"greater than the last, {self._sequence}")
        request = self._request
        if update.latent_source is not None:
            request = replace(request, latent_source=update.latent_source)
        if update.style_strength is not None:
            request = replace(request, style_strength=update.style_strength)
        if request is not self._request:
            self._validated = check_request(request, self._registry, self._limits)
            self._request = request
        self._sequence = update.sequence
        self._changes += 1
        if update.label_map is not None or update.strokes is not None:
            self._pending.append(update)
            self._pending_bytes += update.size_bytes
        self._news.set()
        if len(self._pending) >= _MAX_PENDING_UPDATES or self._pending_bytes >= _MAX_PENDING_BYTES:
            self._space.clear()
            await self._space.wait()

    def finish(self) -> None:
        """No more updates come: the frame of the last one ends the painting."""
        self._finished = True
        self._news.set()

    @property
    def failed(self) -> bool:
        """Whether it is to end with a failure."""
        return self._failure is not None

    def fail(self, failure: Exception) -> None:
        """End the painting with a failure, once the frame that is being made has been taken."""
        self._failure = self._failure or failure
        self._news.set()

    async def frames(
        self,
        runner: Runner,
        call: CallContext,
        message: Callable[[Frame], bytes],
        *,
        frame_seconds: float,
        permit: Callable[[], None],
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """Make frames until the painting ends.

        Args:
            runner: Makes them.
            call: The call of the painting, with its own deadline.
            message: Serialises a frame; called on a worker.
            frame_seconds: Time limit of one frame.
            permit: Called before each frame but the first; raises what forbids it. What says when to come
                back only delays the frame.

        Yields:
            For each frame how many updates it dropped, and its message.

        Raises:
            Exception: What `fail` was told, or what became of a frame.
        """
        dropped = 0
        permitted = True  # the first frame is the call's own
        while True:
            await self._news.wait()
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            if not self._changes:
                return  # finished
            dropped += self._changes - 1
            self._changes = 0
            work = self._take()
            deadline = min(call.deadline, asyncio.get_running_loop().time() + frame_seconds)
            try:
                if not permitted:
                    permit()
                    permitted = True  # however often the queue refuses it
                data = await runner.single(
                    work, replace(call, deadline=deadline), _framed(work, self._sequence, dropped, message)
                )
            except (Overloaded, QuotaExceeded) as refusal:
                if refusal.retry_after_seconds is None:
                    raise
                self._put_back(work)
                await asyncio.sleep(min(refusal.retry_after_seconds, _MAX_PAUSE_SECONDS))
                # Tried again: as an update of its own, unless others have come meanwhile.
                self._changes += 1
                self._news.set()
                continue
            self._put_back(work)
            # Not before: while frames are refused, no more updates are read.
            if len(self._pending) < _MAX_PENDING_UPDATES and self._pending_bytes < _MAX_PENDING_BYTES:
                self._space.set()
            self._changes += work.left
            yield dropped - work.left, data
            dropped, permitted = 0, False
            if self._changes or self._finished:
                self._news.set()

    def _take(self) -> _FrameWork:
        work = _FrameWork(self._validated, self._canvas, tuple(self._pending), self._limits)
        self._pending.clear()
        self._pending_bytes = 0
        return work

    def _put_back(self, work: _FrameWork) -> None:
        """Keep the canvas as far as it was drawn, and the updates that were not."""
        left = work.updates
        if work.canvas is not None:
            self._canvas = work.canvas
            left = work.updates[len(work.updates) - work.left :]
        self._pending[:0] = left
        self._pending_bytes += sum(update.size_bytes for update in left)


class _FrameWork(ImageWork):
    """The image of a canvas on which updates are drawn first.

    Args:
        request: Of the painting; its condition is the canvas that the caller began with.
        canvas: The canvas so far; None before the first frame.
        updates: To be drawn.
        limits: Bounds of an update.
    """

    def __init__(
        self,
        request: ValidatedRequest,
        canvas: Canvas | None,
        updates: tuple[Update, ...],
        limits: Limits,
    ) -> None:
        super().__init__(request, limits)
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


def _framed(
    work: _FrameWork, sequence: int, dropped: int, message: Callable[[Frame], bytes]
) -> Callable[[Image], bytes]:
    began = time.perf_counter()

    def framed(image: Image) -> bytes:
        latest = work.updates[-work.left - 1].sequence if work.left else sequence
        return message(Frame(latest, dropped - work.left, image, work.request.model, began))

    return framed
