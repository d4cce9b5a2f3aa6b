"""The request of `Synthesize` to the service's own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.rpc.messages import (
    ids_from_proto,
    image_format_from_proto,
    members,
    picture_from_proto,
    priority_from_proto,
)
from service.rpc.stroke_messages import StrokesOfMessage
from service.rpc.style_messages import StylesOfMessage
from service.synthesis.request import (
    Condition,
    Exemplar,
    FirstSeed,
    Latents,
    PictureFile,
    ProxyMask,
    RawSketch,
    Scribble,
    ScribbleStrokes,
    Seeds,
    Sketch,
    SynthesisRequest,
)


def request_from_proto(message: pb.SynthesizeRequest) -> SynthesisRequest:
    """Read a request; what its values mean is checked later.

    Raises:
        InvalidArgument: The condition or its encoding is not set, or the format or the priority is not a
            known one.
    """
    return SynthesisRequest(
        model=message.model,
        condition=_condition(message),
        start=_start(message),
        number_of_images=message.number_of_images if message.HasField("number_of_images") else None,
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        styles=StylesOfMessage(message.styles),
    )


def _condition(message: pb.SynthesizeRequest) -> Condition:
    match message.WhichOneof("condition"):
        case "label_map":
            return ids_from_proto(message.label_map)
        case "sketch":
            return Sketch(_sketch(message.sketch))
        case "scribble":
            if message.scribble.WhichOneof("encoding") == "strokes":
                return Scribble(_strokes(message.scribble.strokes))
            return Scribble(ids_from_proto(message.scribble, field="scribble"))
        case "proxy_mask":
            return ProxyMask(ids_from_proto(message.proxy_mask, field="proxy_mask"))
        case "exemplar":
            return Exemplar(picture_from_proto(message.exemplar, field="exemplar"))
    raise InvalidArgument("condition", "no condition", f"one of {members(message, 'condition')}")


def _sketch(sketch: pb.Sketch) -> PictureFile | RawSketch:
    match sketch.WhichOneof("encoding"):
        case "file":
            return PictureFile(sketch.file)
        case "raw":
            return RawSketch(sketch.raw.data, sketch.raw.width, sketch.raw.height)
    raise InvalidArgument("sketch", "no encoding", f"one of {members(sketch, 'encoding')}")


def _strokes(strokes: pb.ScribbleStrokes) -> ScribbleStrokes:
    return ScribbleStrokes(
        StrokesOfMessage(strokes.strokes),
        strokes.width if strokes.HasField("width") else None,
        strokes.height if strokes.HasField("height") else None,
    )


def _start(message: pb.SynthesizeRequest) -> FirstSeed | Seeds | Latents | None:
    match message.WhichOneof("start"):
        case "seed":
            return FirstSeed(message.seed)
        case "seeds":
            return Seeds(message.seeds.values)
        case "latents":
            return Latents(_LatentValues(message.latents.latents))
    return None


class _LatentValues(Sequence[Sequence[float]]):
    """The values of each latent, taken out of the message one by one.

    A message within the size limit can hold millions of empty latents, which would take seconds and
    gigabytes to unpack; looked at as a sequence, they are counted and refused first.
    """

    def __init__(self, latents: Sequence[pb.Latent]) -> None:
        self._latents = latents

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: Any) -> Any:
        return self._latents[index].values
