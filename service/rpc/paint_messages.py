"""The messages of `Paint` to the service's own types and back."""

from __future__ import annotations

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.rpc.messages import (
    ids_from_proto,
    image_format_from_proto,
    image_to_proto,
    one_start_from_proto,
    priority_from_proto,
)
from service.rpc.stroke_messages import StrokesOfMessage
from service.rpc.timings import timings_to_proto
from service.synthesis.painting import Frame, Update
from service.synthesis.request import SynthesisRequest


def painting_from_proto(message: pb.PaintStart) -> SynthesisRequest:
    """Read what a painting begins with; what its values mean is checked later.

    Raises:
        InvalidArgument: The label map or its encoding is not set, or the format or the priority is not a
            known one.
    """
    if not message.HasField("label_map"):
        raise InvalidArgument("label_map", "no label map", "the canvas to begin with")
    return SynthesisRequest(
        model=message.model,
        condition=ids_from_proto(message.label_map),
        start=one_start_from_proto(message),
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
    )


def update_from_proto(message: pb.PaintUpdate) -> Update:
    """Read an update of a painting; what its values mean is checked later.

    Raises:
        InvalidArgument: The label map's encoding is not set.
    """
    change = message.WhichOneof("change")
    return Update(
        sequence=message.sequence,
        label_map=ids_from_proto(message.label_map) if change == "label_map" else None,
        strokes=StrokesOfMessage(message.strokes.strokes) if change == "strokes" else None,
        start=one_start_from_proto(message),
        style_strength=message.style_strength if message.HasField("style_strength") else None,
    )


def frame_to_proto(frame: Frame) -> pb.PaintResponse:
    """Put a frame of a painting on the wire."""
    job, picture = frame.job, frame.picture
    return pb.PaintResponse(
        sequence=frame.sequence,
        image=image_to_proto(job, picture),
        dropped_frames=frame.dropped,
        model_version=job.model.version,
        timings=timings_to_proto(job, [picture], frame.seconds),
    )
