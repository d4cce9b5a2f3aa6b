"""A painting as the asynchronous client has it open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import grpc
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client._errors import MaskweaveError, error_from_rpc
from maskweave_client._paint import FINISHED
from maskweave_client._paint_requests import Stroke, paint_update
from maskweave_client._requests import LabelMap
from maskweave_client._results import Frame, frame_from_proto

Result = TypeVar("Result")

_CLOSED = "The painting was closed."
_LOST = "The session has ended, and gRPC does not tell why."

# How often, and after how long, to look whether the status of a call has come.
_STATUS_LOOKS = 20
_STATUS_PAUSE_SECONDS = 0.01


class AsyncPaintSession:
    """A canvas at the service: strokes and other updates change it, and frames of it come back.

    Made by `AsyncClient.paint`. Iterate over it for the frames; they are always of the latest canvas, so that
    there may be fewer of them than updates. One task may iterate while others update. Close it, or use it in
    an `async with`. As with any call of gRPC, cancelling a task that waits for it ends the session.
    """

    def __init__(
        self,
        stub: pb_grpc.SynthesisServiceAsyncStub,
        start: pb.PaintRequest,
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self._first: pb.PaintRequest | None = start
        self._lock = asyncio.Lock()
        self._sequence = 0
        self._finished = False
        self._closed = False
        self._ending: MaskweaveError | None = None
        self._call = stub.Paint(timeout=timeout, metadata=tuple(metadata))
        self._call.add_done_callback(self._keep_ending)
        # Its iterator goes on reading when a message that crosses the end has made the call say it is done.
        self._messages = aiter(self._call)
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> AsyncPaintSession:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        """The next frame; the end when the painting is finished and its last update has had its frame.

        Raises:
            MaskweaveError: The session has ended otherwise; see its subclasses.
        """
        await self._begin()
        async with self._translated():
            message = await self._read()
        if message is None:
            if self._ending is not None and self._ending.code is not grpc.StatusCode.OK:
                raise self._ending
            raise StopAsyncIteration
        return frame_from_proto(message)

    async def stroke(
        self, class_id: int, points: NDArray[Any] | Sequence[Sequence[float]], *, width: float
    ) -> int:
        """Draw one stroke.

        Args:
            class_id: Class to draw.
            points: x and y of each point, `[points, 2]`, in pixels of the canvas from its upper left corner;
                a single point is a dot.
            width: Width of the brush in pixels of the canvas, at least 1.

        Returns:
            The number of the update; `Frame.sequence` of the first frame that has it is this or greater.

        Raises:
            MaskweaveError: The session has ended with a failure; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or the painting is finished.
            TypeError: Something is not a number.
        """
        return await self.update(strokes=[Stroke(class_id, points, width)])

    async def update(
        self,
        *,
        label_map: LabelMap | None = None,
        strokes: Iterable[Stroke] | None = None,
        seed: int | None = None,
        latent: NDArray[Any] | Sequence[float] | None = None,
        style_strength: float | None = None,
    ) -> int:
        """Change what is painted, all in one; what is None stays as it is.

        Args:
            label_map: A canvas in place of the old one, of the same size.
            strokes: Strokes on the canvas, each over those before it.
            seed: Seed of the pictures from now on.
            latent: Latent of the pictures from now on, float `[latent_size]`.
            style_strength: Style strength from now on.

        Returns:
            The number of the update; `Frame.sequence` of the first frame that has it is this or greater.

        Raises:
            MaskweaveError: The session has ended with a failure; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or the painting is finished.
            TypeError: The label map is of none of the types allowed, or something else is not a number.
        """
        await self._begin()
        async with self._lock:
            if self._finished:
                raise ValueError(FINISHED)
            request = paint_update(
                self._sequence + 1,
                label_map=label_map,
                strokes=strokes,
                seed=seed,
                latent=latent,
                style_strength=style_strength,
            )
            self._sequence += 1
            async with self._translated():
                await self._call.write(request)
            return self._sequence

    async def finish(self) -> None:
        """Say that no more updates come. The frames end with that of the last one."""
        await self._begin()
        async with self._lock:
            self._finished = True
            await self._call.done_writing()

    async def close(self) -> None:
        """End the session at once, without the frames that are still to come."""
        self._first = None
        self._finished = self._closed = True
        self._call.cancel()

    async def _begin(self) -> None:
        """Send the start, before anything else."""
        if self._first is None:
            return
        async with self._lock:
            if (first := self._first) is not None:
                async with self._translated():
                    await self._call.write(first)
                self._first = None

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._failure() from error
        except asyncio.CancelledError as error:
            if not self._closed:
                raise
            # Not this task was cancelled but the session, by another one.
            raise error_from_rpc(grpc.StatusCode.CANCELLED, _CLOSED, ()) from error

    async def _read(self) -> pb.PaintResponse | None:
        """The next message, None at the end."""
        async with self._reading:
            return await anext(self._messages, None)

    async def _failure(self) -> MaskweaveError:
        """What the call has ended with."""
        with suppress(grpc.aio.AioRpcError):
            while self._ending is None and await self._read() is not None:
                pass  # the status comes behind all frames
        for _ in range(_STATUS_LOOKS):
            self._keep_ending(self._call)
            if self._ending is not None:
                return self._ending
            await asyncio.sleep(_STATUS_PAUSE_SECONDS)
        return error_from_rpc(grpc.StatusCode.INTERNAL, _LOST, ())

    def _keep_ending(self, call: Any) -> None:
        """Keep what the service has ended the call with, as soon as gRPC has it.

        A message that crosses the end of its call makes gRPC say INTERNAL, without a trailer, before the
        service's status or in its place (https://github.com/grpc/grpc/issues/36066).
        """
        code, details = _at_once(call.code()), _at_once(call.details())
        trailer = tuple(_at_once(call.trailing_metadata()) or ())
        if self._ending is None and (code is not grpc.StatusCode.INTERNAL or trailer):
            self._ending = error_from_rpc(code, details or "", trailer)


def _at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise RuntimeError("the call has ended, but its status is not there")
