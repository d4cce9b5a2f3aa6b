"""Fields that several requests have, read without decoding what they hold.

Repeated fields are taken out of their message one by one: a message within the size limit can hold thousands
of entries, which would take long to unpack. Looked at as sequences, they are counted and refused first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.image import ImageFormat
from service.codecs.strokes import Stroke
from service.core.errors import InvalidArgument
from service.engine.base import Priority
from service.synthesis.conditions.types import (
    EncodedIds,
    EncodedImage,
    ImageFile,
    PngLabelMap,
    RawImage,
    RawLabelMap,
    RunLengthLabelMap,
)
from service.synthesis.requests import FirstSeed, Latent, SingleLatentSource
from service.synthesis.styles.types import Style, StyleBlend, StyleCode, StyleSeed, WeightedStyle

Meaning = TypeVar("Meaning")

FORMATS = {
    pb.IMAGE_FORMAT_UNSPECIFIED: ImageFormat.PNG,
    pb.IMAGE_FORMAT_PNG: ImageFormat.PNG,
    pb.IMAGE_FORMAT_JPEG: ImageFormat.JPEG,
    pb.IMAGE_FORMAT_WEBP: ImageFormat.WEBP,
    pb.IMAGE_FORMAT_RAW: ImageFormat.RAW,
}
"""File formats by their value in the contract."""

_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BATCH: Priority.BATCH,
}


def ids_from_proto(
    message: pb.LabelMap | pb.Scribble | pb.ProxyMask, *, field: str = "label_map"
) -> EncodedIds:
    """Read a map of ids without decoding it; `field` is where the request has it.

    Raises:
        InvalidArgument: Its encoding is not set.
    """
    match message.WhichOneof("encoding"):
        case "png":
            return PngLabelMap(message.png)
        case "raw":
            return RawLabelMap(message.raw.data, message.raw.width, message.raw.height)
        case "run_length":
            runs = message.run_length
            return RunLengthLabelMap(runs.class_ids, runs.lengths, runs.width, runs.height)
    raise InvalidArgument(field, "no encoding", f"one of {members(message, 'encoding')}")


def image_from_proto(message: pb.SourcePicture | pb.Exemplar, *, field: str = "picture") -> EncodedImage:
    """Read an image without decoding it; `field` is where the request has it.

    Raises:
        InvalidArgument: Its encoding is not set.
    """
    match message.WhichOneof("encoding"):
        case "file":
            return ImageFile(message.file)
        case "raw":
            return RawImage(message.raw.data, message.raw.width, message.raw.height)
    raise InvalidArgument(field, "no encoding", f"one of {members(message, 'encoding')}")


def latent_source_from_proto(
    message: pb.PaintStart | pb.PaintUpdate | pb.MorphRequest,
) -> SingleLatentSource | None:
    """Read the `start` of the methods for which all images have the same latent."""
    match message.WhichOneof("start"):
        case "seed":
            return FirstSeed(message.seed)
        case "latent":
            return Latent(message.latent.values)
    return None


def image_format_from_proto(value: pb.ImageFormat.ValueType) -> ImageFormat:
    """Read a format.

    Raises:
        InvalidArgument: It is not a known one.
    """
    return meaning_of("image_format", value, FORMATS, pb.ImageFormat)


def priority_from_proto(value: pb.Priority.ValueType) -> Priority:
    """Read a priority.

    Raises:
        InvalidArgument: It is not a known one.
    """
    return meaning_of("priority", value, _PRIORITIES, pb.Priority)


def meaning_of(field: str, value: int, known: Mapping[Any, Meaning], enum: Any) -> Meaning:
    """What a value of an enum means.

    Args:
        field: The field it came in.
        value: The value.
        known: What the known ones mean.
        enum: Their type, which has their names.

    Raises:
        InvalidArgument: It is not a known one.
    """
    meaning = known.get(value)
    if meaning is None:
        raise InvalidArgument(field, value, ", ".join(enum.Name(each) for each in known))
    return meaning


def members(message: Message, oneof: str) -> str:
    """The fields of a oneof, for people."""
    return ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)


class LatentsOfMessage(Sequence[Sequence[float]]):
    """The values of each latent of a message."""

    def __init__(self, latents: Sequence[pb.Latent]) -> None:
        self._latents = latents

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: Any) -> Any:
        return self._latents[index].values


class StrokesOfMessage(Sequence[Stroke]):
    """The strokes of a message."""

    def __init__(self, strokes: Sequence[pb.Stroke]) -> None:
        self._strokes = strokes

    def __len__(self) -> int:
        return len(self._strokes)

    def __getitem__(self, index: Any) -> Any:
        stroke = self._strokes[index]
        return Stroke(stroke.class_id, stroke.width, _Points(stroke.points), stroke.erase)


class _Points(Sequence[tuple[float, float]]):
    def __init__(self, points: Sequence[pb.Point]) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: Any) -> Any:
        return self._points[index].x, self._points[index].y


class StylesOfMessage(Mapping[int, Style | None]):
    """The styles of a message, by class id."""

    def __init__(self, styles: Mapping[int, pb.Style]) -> None:
        self._styles = styles

    def __len__(self) -> int:
        return len(self._styles)

    def __iter__(self) -> Iterator[int]:
        return iter(self._styles)

    def __getitem__(self, class_id: int) -> Style | None:
        message = self._styles[class_id]
        if message.WhichOneof("style") == "blend":
            return StyleBlend(_Parts(message.blend.styles))
        return _one(message)


class _Parts(Sequence[WeightedStyle]):
    def __init__(self, parts: Sequence[pb.WeightedStyle]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: Any) -> Any:
        part = self._parts[index]
        return WeightedStyle(part.weight, _one(part))


def _one(message: pb.Style | pb.WeightedStyle) -> StyleCode | StyleSeed | None:
    match message.WhichOneof("style"):
        case "code":
            code = message.code
            return StyleCode(code.model, code.model_version, code.class_id, code.values)
        case "seed":
            return StyleSeed(message.seed)
    return None
