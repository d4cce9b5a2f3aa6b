"""The method `Paint`: sessions in which a caller changes a canvas and is sent images of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument, SessionIdle, Unavailable, field_prefix
from service.core.limits import LIMITS, Limits
from service.core.metrics import Metrics
from service.rpc.call import Call
from service.rpc.messages.replies import paint_message
from service.rpc.messages.requests import painted_edit_from_proto, painting_from_proto, update_from_proto
from service.synthesis.marking import XMP_ONLY, Marking
from service.synthesis.painting import Painting
from service.synthesis.registry.models import Model
from service.synthesis.runner import Runner

_STOPPING = "The service is stopping; start a new session."

# What a session that is to end leaves its caller to take the frame that is on its way.
_LAST_FRAME_SECONDS = 1.0


class PaintSessions:
    """The sessions of a gateway.

    Args:
        runner: Makes the frames.
        registry: The models on offer, by name.
        metrics: Counts dropped frames.
        idle_seconds: Time after which a session is ended whose caller sends nothing, or takes no frame.
        frame_seconds: Time limit of one frame.
        limits: Bounds of an update.
        marking: How the frames are marked.
    """

    def __init__(
        self,
        runner: Runner,
        registry: Mapping[str, Model],
        metrics: Metrics,
        *,
        idle_seconds: float,
        frame_seconds: float,
        limits: Limits = LIMITS,
        marking: Marking = XMP_ONLY,
    ) -> None:
        self._runner = runner
        self._registry = registry
        self._metrics = metrics
        self._idle_seconds = idle_seconds
        self._frame_seconds = frame_seconds
        self._limits = limits
        self._marking = marking
        self._paintings: set[Painting] = set()
        self._sending: dict[Painting, asyncio.Timeout] = {}
        self._stopping = False

    def end_all(self) -> None:
        """End every session, and every one that begins from now on, because the service stops."""
        self._stopping = True
        for painting in self._paintings:
            self._end(painting, Unavailable(_STOPPING, cancelled="shutdown"))

    async def paint(self, call: Call) -> None:
        """Answer `Paint`.

        Raises:
            Exception: What the session has ended with, when not by its caller.
        """
        painting = await self._begun(call)
        start_bytes, call.in_hand = call.in_hand, 0
        self._paintings.add(painting)
        if self._stopping:
            self._end(painting, Unavailable(_STOPPING, cancelled="shutdown"))
        reader = asyncio.create_task(self._read(call, painting))
        frames = painting.frames(
            self._runner,
            call,
            paint_message,
            frame_seconds=self._frame_seconds,
            permit=call.permit,
        )
        try:
            async with aclosing(frames):
                async for dropped, data in frames:
                    self._metrics.frames_dropped(painting.model, dropped)
                    if call.memory is not None:
                        call.memory.keep(painting.held_bytes(start_bytes) + call.in_hand)
                    await self._deliver(data, painting, call)
        finally:
            self._paintings.discard(painting)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _begun(self, call: Call) -> Painting:
        """The painting that the first message begins; the message goes when the canvas has been drawn."""
        first = await self._next(call)
        if first is None or first.WhichOneof("request") != "start":
            got = "no message" if first is None else first.WhichOneof("request") or "a message without either"
            raise InvalidArgument("request", got, "start in the first message")
        with field_prefix("start"):
            request = painting_from_proto(first.start)
            edit = painted_edit_from_proto(first.start)
            return Painting(request, self._registry, self._limits, self._marking, edit)

    async def _read(self, call: Call, painting: Painting) -> None:
        """Apply the updates until the caller has no more; what goes wrong ends the painting."""
        try:
            while await self._updated(call, painting):
                pass
            painting.finish()
        except Exception as error:
            self._end(painting, error)

    async def _updated(self, call: Call, painting: Painting) -> bool:
        """Apply the next update, of which nothing stays here; False when there will be none."""
        message = await self._next(call)
        if message is None:
            return False
        if (kind := message.WhichOneof("request")) != "update":
            got = kind or "a message without either"
            raise InvalidArgument("request", got, "update in every message but the first")
        with field_prefix("update"):
            update = update_from_proto(message.update, size_bytes=call.in_hand)
            await painting.apply(update)
        if not update.draws and call.memory is not None:  # nobody keeps it
            call.memory.keep(call.memory.size - call.in_hand)
        call.in_hand = 0  # it waits for its frame, and is counted there
        return True

    def _end(self, painting: Painting, failure: Exception) -> None:
        painting.fail(failure)
        sending = self._sending.get(painting)
        if sending is not None and not sending.expired():
            sending.reschedule(asyncio.get_running_loop().time() + _LAST_FRAME_SECONDS)

    async def _deliver(self, message: bytes, painting: Painting, call: Call) -> None:
        """Wait until the connection has taken a frame, but not for ever: the caller may read nothing."""
        patience = _LAST_FRAME_SECONDS if painting.failed else self._idle_seconds
        try:
            async with asyncio.timeout(patience) as timeout:
                self._sending[painting] = timeout
                await call.send(message)
        except TimeoutError:
            if not timeout.expired():
                raise
            painting.fail(SessionIdle(f"No frame has been taken for {patience:g} s."))  # unless it has failed
        finally:
            self._sending.pop(painting, None)

    async def _next(self, call: Call) -> pb.PaintRequest | None:
        """The next message; None when there will be none.

        Raises:
            SessionIdle: None has come for too long.
        """
        try:
            return await call.receive(pb.PaintRequest, within=self._idle_seconds)
        except TimeoutError:
            raise SessionIdle(f"No message has come for {self._idle_seconds:g} s.") from None
