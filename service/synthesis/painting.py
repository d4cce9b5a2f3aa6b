"""A painting: a canvas that a caller changes, and frames of it, always of the latest.

Updates are checked as they come and wait until the next frame takes all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace

from service.core.errors import InvalidArgument, Overloaded, QuotaExceeded, field_prefix
from service.core.limits import LIMITS, Limits
from service.synthesis.canvas import Canvas, Drawing, Update
from service.synthesis.conditions.types import CanvasOf, LabelMap, Scribble, Sketch, kind_of
from service.synthesis.frames import Blank, CanvasEditWork, CanvasWork
from service.synthesis.images import Image
from service.synthesis.marking import XMP_ONLY, Marking
from service.synthesis.painted_edits import EditInProgress, PaintedEdit
from service.synthesis.registry.models import Model
from service.synthesis.requests import CallContext, FirstSeed, Latent, SynthesisRequest
from service.synthesis.runner import Runner
from service.synthesis.validation.images import check_request
from service.synthesis.validation.styles import check_styles

_MAX_PAUSE_SECONDS = 1.0
"""The longest wait before a frame that the queue refused is tried again."""

_MAX_PENDING_UPDATES = 64
_MAX_PENDING_BYTES = 4 * 2**20
"""Updates that may wait for the next frame before no more are read; a single larger one is taken alone."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An image of the canvas.

    Attributes:
        sequence: The latest update in it; 0 for the canvas as it began.
        dropped: Updates since the frame before that have no frame of their own.
        image: The image, or why there is none.
        model: The model that made it.
        began: `time.perf_counter()` when the frame was begun.
    """

    sequence: int
    dropped: int
    image: Image | Blank
    model: Model
    began: float


class Painting:
    """One painting. Belongs to one event loop.

    Args:
        request: What the caller began with; its condition, the canvas, is decoded with the first frame.
        registry: The models on offer.
        limits: Bounds of an update.
        marking: How the frames are marked.
        edit: What is edited, if the frames are edits.

    Raises:
        InvalidArgument: A field has a value that is not allowed.
        NotFound: There is no such model.
    """

    def __init__(
        self,
        request: SynthesisRequest,
        registry: Mapping[str, Model],
        limits: Limits = LIMITS,
        marking: Marking = XMP_ONLY,
        edit: PaintedEdit | None = None,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._marking = marking
        validated = check_request(request, registry, limits)
        assert isinstance(request.condition, LabelMap | Scribble | Sketch)  # the contract has no others
        self._kind = kind_of(request.condition)
        self._begin: LabelMap | Scribble | Sketch | CanvasOf = request.condition
        if request.latent_source is None:
            # Drawn once, or every frame would be another person.
            seed = validated.latents[0].seed
            assert seed is not None
            request = replace(request, latent_source=FirstSeed(seed))
        self._request = _detached(request)
        self._validated = validated
        self._edit = None if edit is None else EditInProgress(edit, self._request, registry, limits)
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

    def held_bytes(self, start_bytes: int) -> int:
        """What it holds in memory, in bytes: its canvas, as it came or drawn, and the updates that wait.

        Args:
            start_bytes: What the canvas takes that the caller began with, as it came.
        """
        begun = start_bytes if self._canvas is None else self._canvas.nbytes
        styles = 0 if self._validated.styles is None else self._validated.styles.nbytes
        edited = 0 if self._edit is None else self._edit.nbytes
        return begun + styles + edited + self._pending_bytes

    async def apply(self, update: Update) -> None:
        """Take an update in; waits while too many wait for their frame. One at a time.

        What it draws is checked when it is drawn; that ends the painting if it is not allowed.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
        """
        if update.sequence <= self._sequence:
            raise InvalidArgument("sequence", update.sequence, f"greater than the last, {self._sequence}")
        self._check_kind(update)
        request = self._request
        if update.latent_source is not None:
            request = replace(request, latent_source=update.latent_source)
        if update.style_strength is not None:
            request = replace(request, style_strength=update.style_strength)
        if request is not self._request:
            self._start_from(request)
        if update.styles is not None:
            with field_prefix("styles"):
                styles = check_styles(update.styles, self._validated.model, self._limits)
            self._validated = replace(self._validated, styles=styles)
        self._sequence = update.sequence
        self._changes += 1
        if update.draws:
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
                    work, replace(call, deadline=deadline), self._framed(work, dropped, message)
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
            left = work.drawing.left
            self._changes += left
            del work  # and with it the messages of its updates, until the next frame
            yield dropped - left, data
            dropped, permitted = 0, False
            if self._changes or self._finished:
                self._news.set()

    def _framed(
        self, work: CanvasWork | CanvasEditWork, dropped: int, message: Callable[[Frame], bytes]
    ) -> Callable[[Image | Blank], bytes]:
        began, sequence, model, drawing = (
            time.perf_counter(),
            self._sequence,
            self._validated.model,
            work.drawing,
        )

        def framed(image: Image | Blank) -> bytes:
            left = drawing.left
            latest = drawing.updates[-left - 1].sequence if left else sequence
            return message(Frame(latest, dropped - left, image, model, began))

        return framed

    def _check_kind(self, update: Update) -> None:
        """Refuse what an update cannot change."""
        if update.canvas is not None and (kind := kind_of(update.canvas)) is not self._kind:
            raise InvalidArgument(
                kind.value, f"a {kind.value}", f"{self._kind.value} or strokes, as the canvas"
            )
        if update.latent_source is not None and self._edit is not None and self._edit.of_an_image:
            field = "seed" if isinstance(update.latent_source, FirstSeed) else "latent"
            raise InvalidArgument(field, "a start", "none: what is edited is an image that was sent")

    def _start_from(self, request: SynthesisRequest) -> None:
        """Take another latent or style strength from now on; the styles stay."""
        styles = self._validated.styles
        self._validated = replace(check_request(request, self._registry, self._limits), styles=styles)
        self._request = request = _detached(request)
        if self._edit is not None:
            self._edit.start_from(request)

    def _take(self) -> CanvasWork | CanvasEditWork:
        drawing = Drawing(
            self._kind, self._validated.model, self._begin, self._canvas, tuple(self._pending), self._limits
        )
        self._pending.clear()
        self._pending_bytes = 0
        if self._edit is not None:
            return self._edit.work(drawing, self._marking)
        return CanvasWork(self._validated, drawing, self._limits, self._marking)

    def _put_back(self, work: CanvasWork | CanvasEditWork) -> None:
        """Keep the canvas as far as it was drawn, and the updates that were not."""
        drawing = work.drawing
        left = drawing.updates
        if drawing.canvas is not None:
            if self._canvas is None:  # what the caller began with is not needed any more
                self._begin = CanvasOf(self._kind)
                self._request = replace(self._request, condition=self._begin)
                self._validated = replace(self._validated, condition=self._begin)
            self._canvas = drawing.canvas
            left = drawing.updates[len(drawing.updates) - drawing.left :]
        if self._edit is not None and isinstance(work, CanvasEditWork):
            self._edit.keep(work)
        self._pending[:0] = left
        self._pending_bytes += sum(update.size_bytes for update in left)


def _detached(request: SynthesisRequest) -> SynthesisRequest:
    """A request that keeps no message in memory but the canvas: its latent has the model's size."""
    request = replace(request, styles={})
    if not isinstance(request.latent_source, Latent):
        return request
    return replace(request, latent_source=Latent(tuple(request.latent_source.values)))
