"""What comes back: pictures and where the time went."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import FORMAT_VALUES

_FORMATS: dict[int, Literal["png", "jpeg", "webp", "raw"]] = {
    value: name for name, value in FORMAT_VALUES.items()
}


@dataclass(frozen=True)
class Picture:
    """A picture as the service sent it.

    Attributes:
        data: The file; for `raw` the pixels, row by row.
        format: Its format.
        width: Width in pixels.
        height: Height in pixels.
        seed: Seed that it came from; None when it came from an explicit latent.
    """

    data: bytes
    format: Literal["png", "jpeg", "webp", "raw"]
    width: int
    height: int
    seed: int | None

    def to_numpy(self) -> NDArray[np.uint8]:
        """The pixels: RGB, uint8 `[height, width, 3]`."""
        if self.format == "raw":
            return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width, 3)
        return np.asarray(self.to_pil())

    def to_pil(self) -> Image.Image:
        """The picture as an RGB image."""
        if self.format == "raw":
            return Image.fromarray(self.to_numpy())
        with Image.open(io.BytesIO(self.data)) as image:
            return image.convert("RGB")


@dataclass(frozen=True)
class StageTiming:
    """One run of one of the model's stages.

    Attributes:
        stage: Its name.
        image_index: Which picture it ran for, from 0.
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
        stages: Each run of each stage, by picture.
        encode_seconds: Encoding the pictures, summed over them.
        admission_seconds: Waiting for their turn among the pictures of all callers, summed over them.
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
        pictures: In the order of the seeds or latents.
        model_version: Version of the model that made them.
        timings: Where the time went.
    """

    pictures: tuple[Picture, ...]
    model_version: str
    timings: Timings


@dataclass(frozen=True)
class StreamedPicture:
    """One picture of a request whose pictures come one by one.

    Attributes:
        index: Which one it is, from 0, in the order of the seeds or latents.
        picture: The picture.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
    """

    index: int
    picture: Picture
    model_version: str
    timings: Timings


@dataclass(frozen=True)
class Frame:
    """A picture of a canvas that is being painted.

    Attributes:
        sequence: The latest update that is in it; 0 for the canvas as it began.
        picture: The picture.
        dropped_frames: Updates since the frame before that got none of their own.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
    """

    sequence: int
    picture: Picture
    dropped_frames: int
    model_version: str
    timings: Timings


@dataclass(frozen=True)
class MorphFrame:
    """A picture on the way from some styles to others.

    Attributes:
        index: Which one it is, from 0.
        position: Its position: 0 at the first styles, 1 at the others.
        picture: The picture.
        model_version: Version of the model that made it.
        timings: Where the time went for it.
    """

    index: int
    position: float
    picture: Picture
    model_version: str
    timings: Timings


def result_from_proto(message: pb.SynthesizeResponse) -> Result:
    """Read a reply."""
    return Result(
        tuple(_picture(image) for image in message.images), message.model_version, _timings(message.timings)
    )


def edit_result_from_proto(message: pb.EditResponse) -> Result:
    """Read the reply to an edit."""
    return Result((_picture(message.image),), message.model_version, _timings(message.timings))


def streamed_from_proto(message: pb.SynthesizeStreamResponse) -> StreamedPicture:
    """Read one message of a stream."""
    return StreamedPicture(
        message.index, _picture(message.image), message.model_version, _timings(message.timings)
    )


def frame_from_proto(message: pb.PaintResponse) -> Frame:
    """Read one frame of a painting."""
    return Frame(
        message.sequence,
        _picture(message.image),
        message.dropped_frames,
        message.model_version,
        _timings(message.timings),
    )


def morph_frame_from_proto(message: pb.MorphResponse) -> MorphFrame:
    """Read one frame of a morph."""
    return MorphFrame(
        message.index,
        message.position,
        _picture(message.image),
        message.model_version,
        _timings(message.timings),
    )


def _picture(image: pb.Image) -> Picture:
    return Picture(
        data=image.data,
        format=_FORMATS[image.format],
        width=image.width,
        height=image.height,
        seed=image.seed if image.HasField("seed") else None,
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
