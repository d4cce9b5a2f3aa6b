"""A painting as the client has it open."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client._errors import MaskweaveError, error_from_rpc
from maskweave_client._paint_requests import Stroke, paint_update
from maskweave_client._requests import LabelMap
from maskweave_client._results import Frame, frame_from_proto

FINISHED = "The painting is finished or closed; it takes no more updates."


class PaintSession:
    """A canvas at the service: strokes and other updates change it, and frames of it come back.

    Made by `Client.paint`. Iterate over it for the frames; they are always of the latest canvas, so that
    there may be fewer of them than updates. One thread may iterate while others update. Close it, or use it
    in a `with`.
    """

    def __init__(
        self,
        stub: pb_grpc.SynthesisServiceStub,
        start: pb.PaintRequest,
        timeout: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self._requests: queue.SimpleQueue[pb.PaintRequest | None] = queue.SimpleQueue()
        self._requests.put(start)
        self._lock = threading.Lock()
        self._sequence = 0
        self._finished = False
        self._call = stub.Paint(iter(self._requests.get, None), timeout=timeout, metadata=tuple(metadata))

    def __enter__(self) -> PaintSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The next frame; the end when the painting is finished and its last update has had its frame.

        Raises:
            MaskweaveError: The session has ended otherwise; see its subclasses.
        """
        try:
            return frame_from_proto(next(self._call))
        except grpc.RpcError as error:
            self._requests.put(None)
            raise _translated(error) from error

    def stroke(self, class_id: int, points: NDArray[Any] | Sequence[Sequence[float]], *, width: float) -> int:
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
        return self.update(strokes=[Stroke(class_id, points, width)])

    def update(
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
        with self._lock:
            if self._finished:
                raise ValueError(FINISHED)
            if not self._call.is_active():
                raise _translated(self._call)
            request = paint_update(
                self._sequence + 1,
                label_map=label_map,
                strokes=strokes,
                seed=seed,
                latent=latent,
                style_strength=style_strength,
            )
            self._sequence += 1
            self._requests.put(request)
            return self._sequence

    def finish(self) -> None:
        """Say that no more updates come. The frames end with that of the last one."""
        with self._lock:
            if not self._finished:
                self._finished = True
                self._requests.put(None)

    def close(self) -> None:
        """End the session at once, without the frames that are still to come."""
        self.finish()
        self._call.cancel()


def _translated(ended: Any) -> MaskweaveError:
    return error_from_rpc(ended.code(), ended.details() or "", ended.trailing_metadata() or ())
