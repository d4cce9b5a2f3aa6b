"""Fields that several requests have, read without decoding what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.image import ImageFormat
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
