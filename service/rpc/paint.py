"""The method `Paint`: sessions in which a caller changes a canvas and is sent pictures of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument, SessionIdle, Unavailable
from service.core.metrics import Metrics
from service.rpc.calls import Call
from service.rpc.paint_messages import frame_to_proto, painting_from_proto, update_from_proto
from service.rpc.timings import record_decode, record_picture
from service.synthesis.painting import Painting
from service.synthesis.request import SynthesisRequest

Send = Callable[[pb.PaintResponse], Awaitable[None]]
"""Sends a message, and returns when the connection has taken it."""

_STOPPING = "The service is stopping; start a new session."

# What a session that is to end leaves its caller to take the frame that is on its way.
_LAST_FRAME_SECONDS = 1.0


class PaintSessions:
    """The sessions of a gateway.

    Args:
        begin: Begins a painting.
        metrics: Counts frames.
        idle_seconds: Time after which a session is ended whose caller sends nothing, or takes no frame.
        frame_seconds: Time limit of one frame.
    """

    def __init__(
        self,
        begin: Callable[[SynthesisRequest], Awaitable[Painting]],
        metrics: Metrics,
        *,
        idle_seconds: float,
        frame_seconds: float,
    ) -> None:
        self._begin = begin
        self._metrics = metrics
        self._idle_seconds = idle_seconds
        self._frame_seconds = frame_seconds
        self._paintings: set[Painting] = set()
        self._sending: dict[Painting, asyncio.Timeout] = {}
        self._stopping = False

    def end_all(self) -> None:
        """End every session, and every one that begins from now on, because the service stops."""
        self._stopping = True
        for painting in self._paintings:
            self._end(painting, Unavailable(_STOPPING))

    async def paint(self, requests: AsyncIterator[pb.PaintRequest], call: Call, send: Send) -> None:
        """Answer `Paint`.

        Raises:
            Exception: What the session has ended with, when not by its caller.
        """
        first = await self._next(requests)
        if first is None or first.WhichOneof("request") != "start":
            got = "no message" if first is None else first.WhichOneof("request") or "a message without either"
            raise InvalidArgument("request", got, "start in the first message")
        with _inside("start"):
            painting = await self._begin(painting_from_proto(first.start))
        self._paintings.add(painting)
        if self._stopping:
            self._end(painting, Unavailable(_STOPPING))
        reader = asyncio.create_task(self._read(requests, painting))
        try:
            async with aclosing(painting.frames(call.origin, frame_seconds=self._frame_seconds)) as frames:
                async for frame in frames:
                    record_decode(self._metrics, frame.job)
                    record_picture(self._metrics, frame.job, frame.picture)
                    self._metrics.frames_dropped(frame.job.model.name, frame.dropped)
                    await self._deliver(frame_to_proto(frame), painting, send)
        finally:
            self._paintings.discard(painting)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.PaintRequest], painting: Painting) -> None:
        """Apply the updates until the caller has no more; what goes wrong ends the painting."""
        try:
            while (message := await self._next(requests)) is not None:
                if (kind := message.WhichOneof("request")) != "update":
                    got = kind or "a message without either"
                    raise InvalidArgument("request", got, "update in every message but the first")
                with _inside("update"):
                    await painting.apply(update_from_proto(message.update))
            painting.finish()
        except Exception as error:
            self._end(painting, error)

    def _end(self, painting: Painting, failure: Exception) -> None:
        painting.fail(failure)
        sending = self._sending.get(painting)
        if sending is not None and not sending.expired():
            sending.reschedule(asyncio.get_running_loop().time() + _LAST_FRAME_SECONDS)

    async def _deliver(self, response: pb.PaintResponse, painting: Painting, send: Send) -> None:
        """Wait until the connection has taken a frame, but not for ever: the caller may read nothing."""
        patience = _LAST_FRAME_SECONDS if painting.failed else self._idle_seconds
        try:
            async with asyncio.timeout(patience) as timeout:
                self._sending[painting] = timeout
                await send(response)
        except TimeoutError:
            if not timeout.expired():
                raise
            painting.fail(SessionIdle(f"No frame has been taken for {patience:g} s."))  # unless it has failed
        finally:
            self._sending.pop(painting, None)

    async def _next(self, requests: AsyncIterator[pb.PaintRequest]) -> pb.PaintRequest | None:
        """The next message; None when there will be none.

        Raises:
            SessionIdle: None has come for too long.
        """
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await anext(requests, None)
        except TimeoutError:
            raise SessionIdle(f"No message has come for {self._idle_seconds:g} s.") from None


@contextmanager
def _inside(member: str) -> Iterator[None]:
    """Name fields by their path in the whole message."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(f"{member}.{error.field}", error.value, error.allowed) from error
