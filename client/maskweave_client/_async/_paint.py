"""A painting as a client has it open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._async_transport import AsyncLock, AsyncMethod, AsyncPaintCall
from maskweave_client._conditions import Scribble, Sketch
from maskweave_client._paint_requests import FINISHED, paint_update
from maskweave_client._requests import LabelMap
from maskweave_client._results import Frame, frame_from_proto
from maskweave_client._strokes import Stroke
from maskweave_client._styles import Style


class AsyncPaintSession:
    """A canvas at the service: strokes and other updates change it, and frames of it come back.

    Made by `AsyncClient.paint`. Iterate over it for the frames; they are always of the latest canvas, so that
    there may be fewer of them than updates. One task may iterate while others update. Close it, or use it in
    an `async with`. As with any call of gRPC, cancelling a task that waits for it ends the session.
    """

    def __init__(self, call: AsyncPaintCall, start: pb.PaintRequest, fit: AsyncMethod[None]) -> None:
        self._call = call
        self._first: pb.PaintRequest | None = start
        self._fit = fit
        self._lock = AsyncLock()
        self._sequence = 0
        self._finished = False

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
        message = await self._call.read()
        if message is None:
            raise StopAsyncIteration
        return frame_from_proto(message)

    async def stroke(
        self,
        class_id: int,
        points: NDArray[Any] | Sequence[Sequence[float]],
        *,
        width: float,
        erase: bool = False,
    ) -> int:
        """Draw one stroke.

        Args:
            class_id: Class to draw; 0 on a sketch, where it draws ink, and to erase.
            points: x and y of each point, `[points, 2]`, in pixels of the canvas from its upper left corner;
                a single point is a dot.
            width: Width of the brush in pixels of the canvas, at least 1.
            erase: Take away what is drawn there, on a scribble or a sketch.

        Returns:
            The number of the update; `Frame.sequence` of the first frame that has it is this or greater.

        Raises:
            MaskweaveError: The session has ended with a failure; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or the painting is finished.
            TypeError: Something is not a number.
        """
        return await self.update(strokes=[Stroke(class_id, points, width, erase)])

    async def update(
        self,
        *,
        label_map: LabelMap | None = None,
        sketch: Sketch | None = None,
        scribble: Scribble | LabelMap | None = None,
        strokes: Iterable[Stroke] | None = None,
        seed: int | None = None,
        latent: NDArray[Any] | Sequence[float] | None = None,
        style_strength: float | None = None,
        styles: Mapping[int, Style] | None = None,
    ) -> int:
        """Change what is painted, all in one; what is None stays as it is.

        Args:
            label_map: A canvas in place of the old one, of the same size.
            sketch: The same, where the canvas is a sketch.
            scribble: The same, where it is a scribble.
            strokes: Strokes on the canvas, each over those before it.
            seed: Seed of the images from now on.
            latent: Latent of the images from now on, float `[latent_size]`.
            style_strength: Style strength from now on.
            styles: How classes look from now on, in place of all styles before.

        Returns:
            The number of the update; `Frame.sequence` of the first frame that has it is this or greater.

        Raises:
            MaskweaveError: The session has ended with a failure; see its subclasses.
            ValueError: An argument cannot be what it is meant to be, or the painting is finished.
            TypeError: The canvas is of none of the types allowed, or something else is not a number.
        """
        await self._begin()
        async with self._lock:
            if self._finished:
                raise ValueError(FINISHED)
            request = paint_update(
                self._sequence + 1,
                label_map=label_map,
                sketch=sketch,
                scribble=scribble,
                strokes=strokes,
                seed=seed,
                latent=latent,
                style_strength=style_strength,
                styles=styles,
            )
            await self._fit(request.update)
            self._sequence += 1
            await self._call.write(request)
            return self._sequence

    async def finish(self) -> None:
        """Say that no more updates come. The frames end with that of the last one."""
        await self._begin()
        async with self._lock:
            if not self._finished:
                self._finished = True
                await self._call.finish()

    async def close(self) -> None:
        """End the session at once, without the frames that are still to come."""
        self._first = None
        self._finished = True
        self._call.cancel()

    async def _begin(self) -> None:
        """Send the start, before anything else."""
        if self._first is None:
            return
        async with self._lock:
            if (first := self._first) is not None:
                await self._fit(first.start)
                await self._call.write(first)
                self._first = None
