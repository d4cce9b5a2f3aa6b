"""What comes back: images and where the time went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._generated_image import GeneratedImage, image_from_proto


@dataclass(frozen=True)
class StageTiming:
    """One run of one of the model's stages.

    Attributes:
        stage: Its name.
        image_index: Which image it ran for, from 0.
        queue_seconds: Waiting for a free executor, or finding the result when cached.
        compute_seconds: Computing; 0 when cached.
        cached: Whether the result came from the response cache.
    """

    stage: str
    image_index: int
    queue_seconds: float
    compute_seconds: float
    cached: bool


@dataclass(frozen=True)
class Timings:
    """Where the time of a request went, as measured by the service, in seconds.

    Attributes:
        queue_seconds: Waiting for a free decoder.
        decode_seconds: Checking, decoding and resizing the condition.
        stages: Each run of each stage, by image.
        encode_seconds: Encoding the images, summed over them.
        admission_seconds: Waiting for their turn among the images of all callers, summed over them.
        total_seconds: From the arrival of the request to the reply.
    """

    queue_seconds: float
    decode_seconds: float
    stages: tuple[StageTiming, ...]
    encode_seconds: float
    admission_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class Result:
    """The reply to one request.

    Attributes:
        images: In the order of the seeds or latents.
        model_version: Version of the model that made them.
        timings: Where the time went.
    """

    images: tuple[GeneratedImage, ...]
    model_version: str
    timings: Timings


@dataclass(frozen=True)
class StreamedImage:
    """One image of a request whose images come one by one.

    Attributes:
        index: Which one it is, from 0, in the order of the seeds or latents.
        image: The image.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
    """

    index: int
    image: GeneratedImage
    model_version: str
    timings: Timings


CanvasProblem = Literal["empty", "too_much_ink", "unknown"]
"""Why there is no image of a canvas; `unknown` is what a newer service may say."""

_PROBLEMS: dict[int, CanvasProblem] = {
    pb.CANVAS_PROBLEM_EMPTY: "empty",
    pb.CANVAS_PROBLEM_TOO_MUCH_INK: "too_much_ink",
}


@dataclass(frozen=True)
class Frame:
    """An image of a canvas that is being painted.

    Attributes:
        sequence: The latest update that is in it; 0 for the canvas as it began.
        dropped_frames: Updates since the frame before that got none of their own.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
        problem: Why there is no image of a sketch or a scribble: nothing is drawn, or too much ink; None if
            there is one, as there always is of a label map.
    """

    sequence: int
    dropped_frames: int
    model_version: str
    timings: Timings
    problem: CanvasProblem | None = None
    _image: GeneratedImage | None = field(default=None, repr=False)

    @property
    def image(self) -> GeneratedImage:
        """The image.

        Raises:
            ValueError: There is none; `problem` says why.
        """
        if self._image is None:
            raise ValueError(f"there is no image of this canvas: {self.problem}")
        return self._image


@dataclass(frozen=True)
class MorphFrame:
    """An image on the way from some styles to others.

    Attributes:
        index: Which one it is, from 0.
        position: Its position: 0 at the first styles, 1 at the others.
        image: The image.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
    """

    index: int
    position: float
    image: GeneratedImage
    model_version: str
    timings: Timings


@dataclass(frozen=True)
class LabelMapReading:
    """A label map that was read off an image.

    Attributes:
        label_map: Class ids, uint8 `[height, width]`, of the size of the model's images.
        image: What it was read off, of a seed or a latent; None when the image was the caller's.
        model_version: Version of the model that read it.
        timings: Where the time went.
    """

    label_map: NDArray[np.uint8]
    image: GeneratedImage | None
    model_version: str
    timings: Timings


def result_from_proto(message: pb.SynthesizeResponse) -> Result:
    """Read a reply."""
    return Result(
        tuple(image_from_proto(image) for image in message.images),
        message.model_version,
        _timings(message.timings),
    )


def edit_result_from_proto(message: pb.EditResponse) -> Result:
    """Read the reply to an edit."""
    return Result((image_from_proto(message.image),), message.model_version, _timings(message.timings))


def streamed_from_proto(message: pb.SynthesizeStreamResponse) -> StreamedImage:
    """Read one message of a stream."""
    return StreamedImage(
        message.index, image_from_proto(message.image), message.model_version, _timings(message.timings)
    )


def frame_from_proto(message: pb.PaintResponse) -> Frame:
    """Read one frame of a painting."""
    return Frame(
        message.sequence,
        message.dropped_frames,
        message.model_version,
        _timings(message.timings),
        _PROBLEMS.get(message.problem, "unknown") if message.problem else None,
        image_from_proto(message.image) if message.HasField("image") else None,
    )


def morph_frame_from_proto(message: pb.MorphResponse) -> MorphFrame:
    """Read one frame of a morph."""
    return MorphFrame(
        message.index,
        message.position,
        image_from_proto(message.image),
        message.model_version,
        _timings(message.timings),
    )


def reading_from_proto(message: pb.ReadLabelMapResponse) -> LabelMapReading:
    """Read a label map that came uncompressed."""
    raw = message.label_map.raw
    return LabelMapReading(
        np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.width).copy(),
        image_from_proto(message.image) if message.HasField("image") else None,
        message.model_version,
        _timings(message.timings),
    )


def _timings(message: pb.Timings) -> Timings:
    return Timings(
        queue_seconds=_seconds(message.queue),
        decode_seconds=_seconds(message.decode),
        stages=tuple(
            StageTiming(
                stage=each.stage,
                image_index=each.image_index,
                queue_seconds=_seconds(each.queue),
                compute_seconds=_seconds(each.compute),
                cached=each.cached,
            )
            for each in message.stages
        ),
        encode_seconds=_seconds(message.encode),
        admission_seconds=_seconds(message.admission),
        total_seconds=_seconds(message.total),
    )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
