"""A painting: a canvas that a caller changes, and frames of it, always of the latest.

One task applies the caller's changes, another takes the frames; what the first has done since the second
looked last is one frame, however many changes it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.codecs.strokes import Stroke, check_strokes, draw_strokes
from service.core.errors import InvalidArgument, Overloaded
from service.core.limits import LIMITS, Limits
from service.synthesis.decoding import decode_label_map
from service.synthesis.jobs import Job, Picture
from service.synthesis.models import Model
from service.synthesis.request import (
    DecodedLabelMap,
    FirstSeed,
    LabelMap,
    OneStart,
    Origin,
    SynthesisRequest,
)
from service.synthesis.synthesizer import Synthesizer

_MAX_PAUSE_SECONDS = 1.0
"""The longest wait before a frame that there was no room for is tried again."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a painting; what is None stays as it is.

    Attributes:
        sequence: Its number.
        label_map: A canvas in place of the old one.
        strokes: Strokes on the canvas.
        start: What the pictures start from.
        style_strength: The style strength.
    """

    sequence: int
    label_map: LabelMap | None = None
    strokes: Sequence[Stroke] | None = None
    start: OneStart | None = None
    style_strength: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of the canvas.

    Attributes:
        sequence: The latest update in it; 0 for the canvas as it began.
        dropped: Updates since the frame before that have no frame of their own.
        job: What was asked of the models.
        picture: The picture.
        seconds: From its beginning until it was there.
    """

    sequence: int
    dropped: int
    job: Job
    picture: Picture
    seconds: float


class Painting:
    """One painting. Belongs to one event loop.

    Args:
        request: What the caller began with.
        canvas: Its label map, uint8 `[height, width]`.
        model: Its model.
        synthesizer: Makes the frames.
        codecs: Threads that decode and draw.
        limits: Bounds of an update.
    """

    def __init__(
        self,
        request: SynthesisRequest,
        canvas: NDArray[np.uint8],
        model: Model,
        synthesizer: Synthesizer,
        codecs: Executor,
        limits: Limits = LIMITS,
    ) -> None:
        self._model = model
        self._synthesizer = synthesizer
        self._codecs = codecs
        self._limits = limits
        self._canvas = canvas
        self._request = replace(request, condition=DecodedLabelMap(canvas))
        self._sequence = 0
        self._changes = 1  # the canvas as it is at the beginning
        self._finished = False
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        self._news.set()

    @classmethod
    async def begin(
        cls,
        request: SynthesisRequest,
        synthesizer: Synthesizer,
        codecs: Executor,
        limits: Limits = LIMITS,
    ) -> Painting:
        """Check what a caller begins with, and decode the canvas.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
            NotFound: There is no such model.
        """
        order = synthesizer.check(request)
        assert isinstance(request.condition, LabelMap)  # the contract has no other for paintings
        decode = partial(decode_label_map, request.condition, order.model, limits)
        canvas = await asyncio.get_running_loop().run_in_executor(codecs, decode)
        if request.start is None:
            # Drawn once, or every frame would be another person.
            seed = order.starts[0].seed
            assert seed is not None
            request = replace(request, start=FirstSeed(seed))
        return cls(request, canvas, order.model, synthesizer, codecs, limits)

    async def apply(self, update: Update) -> None:
        """Change the painting; nothing is changed by an update that fails. One at a time.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
        """
        if update.sequence <= self._sequence:
            raise InvalidArgument("sequence", update.sequence, f"greater than the last, {self._sequence}")
        request = self._request
        if update.start is not None:
            request = replace(request, start=update.start)
        if update.style_strength is not None:
            request = replace(request, style_strength=update.style_strength)
        self._synthesizer.check(request)
        canvas = await asyncio.get_running_loop().run_in_executor(self._codecs, self._changed, update)
        self._canvas = canvas
        self._request = replace(request, condition=DecodedLabelMap(canvas))
        self._sequence = update.sequence
        self._changes += 1
        self._news.set()

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

    async def frames(self, origin: Origin, *, frame_seconds: float) -> AsyncGenerator[Frame, None]:
        """Make frames until the painting ends.

        Args:
            origin: Where the painting comes from, with its own deadline.
            frame_seconds: Time limit of one frame.

        Raises:
            Exception: What `fail` was told, or what became of a frame.
        """
        dropped = 0
        while True:
            await self._news.wait()
            self._news.clear()
            if self._failure is not None:
                raise self._failure
            if not self._changes:
                return  # finished
            dropped += self._changes - 1
            self._changes = 0
            sequence, request = self._sequence, self._request
            began = time.perf_counter()
            deadline = min(origin.deadline, asyncio.get_running_loop().time() + frame_seconds)
            try:
                async with self._synthesizer.admitted(request, replace(origin, deadline=deadline)) as job:
                    picture = await self._synthesizer.picture(job)
            except Overloaded as refusal:
                await self._pause(refusal.retry_after_seconds)
                # Tried again: as an update of its own, unless others have come meanwhile.
                self._changes += 1
                self._news.set()
                continue
            yield Frame(sequence, dropped, job, picture, time.perf_counter() - began)
            dropped = 0
            if self._changes or self._finished:
                self._news.set()

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, _MAX_PAUSE_SECONDS))

    def _changed(self, update: Update) -> NDArray[np.uint8]:
        """The canvas after an update. Runs on a codec thread."""
        canvas = self._canvas
        if update.label_map is not None:
            fresh = decode_label_map(update.label_map, self._model, self._limits)
            if fresh.shape != canvas.shape:
                (height, width), (old_height, old_width) = fresh.shape, canvas.shape
                raise InvalidArgument(
                    "label_map", f"{width} x {height} pixels", f"the canvas's {old_width} x {old_height}"
                )
            return fresh
        if update.strokes is not None:
            size = (canvas.shape[0], canvas.shape[1])
            check_strokes(
                update.strokes, self._model.class_ids, size, field="strokes.strokes", limits=self._limits
            )
            return draw_strokes(canvas, update.strokes)
        return canvas
