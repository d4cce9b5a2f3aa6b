"""Wire messages to the service's own types and back."""

from __future__ import annotations

from google.protobuf.message import Message

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.picture import ImageFormat
from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.engine.base import Priority
from service.rpc.edit_support import editing_to_proto
from service.rpc.style_messages import support_to_proto
from service.synthesis.edit_requests import Edit
from service.synthesis.jobs import Job, Picture
from service.synthesis.models import ConditionKind, ConditionSupport, Method, Model
from service.synthesis.request import (
    EncodedIds,
    EncodedPicture,
    FirstSeed,
    Latent,
    OneStart,
    PictureFile,
    PngLabelMap,
    RawLabelMap,
    RawPicture,
    RunLengthLabelMap,
)

_FORMATS = {
    pb.IMAGE_FORMAT_UNSPECIFIED: ImageFormat.PNG,
    pb.IMAGE_FORMAT_PNG: ImageFormat.PNG,
    pb.IMAGE_FORMAT_JPEG: ImageFormat.JPEG,
    pb.IMAGE_FORMAT_WEBP: ImageFormat.WEBP,
    pb.IMAGE_FORMAT_RAW: ImageFormat.RAW,
}
_FORMAT_VALUES = {ours: value for value, ours in _FORMATS.items() if value}
_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: Priority.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BATCH: Priority.BATCH,
}
_METHOD_VALUES = {Method.SIS_UG: pb.METHOD_SIS_UG, Method.GROUPDNET: pb.METHOD_GROUPDNET}
_CONDITION_VALUES = {
    ConditionKind.LABEL_MAP: pb.CONDITION_KIND_LABEL_MAP,
    ConditionKind.SKETCH: pb.CONDITION_KIND_SKETCH,
    ConditionKind.SCRIBBLE: pb.CONDITION_KIND_SCRIBBLE,
    ConditionKind.PROXY_MASK: pb.CONDITION_KIND_PROXY_MASK,
    ConditionKind.EXEMPLAR: pb.CONDITION_KIND_EXEMPLAR,
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


def picture_from_proto(message: pb.SourcePicture | pb.Exemplar, *, field: str = "picture") -> EncodedPicture:
    """Read a picture without decoding it; `field` is where the request has it.

    Raises:
        InvalidArgument: Its encoding is not set.
    """
    match message.WhichOneof("encoding"):
        case "file":
            return PictureFile(message.file)
        case "raw":
            return RawPicture(message.raw.data, message.raw.width, message.raw.height)
    raise InvalidArgument(field, "no encoding", f"one of {members(message, 'encoding')}")


def one_start_from_proto(message: pb.PaintStart | pb.PaintUpdate | pb.MorphRequest) -> OneStart | None:
    """Read the start of the methods for which all pictures have the same."""
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
    image_format = _FORMATS.get(value)
    if image_format is None:
        names = ", ".join(pb.ImageFormat.Name(known) for known in _FORMATS)
        raise InvalidArgument("image_format", value, names)
    return image_format


def priority_from_proto(value: pb.Priority.ValueType) -> Priority:
    """Read a priority.

    Raises:
        InvalidArgument: It is not a known one.
    """
    priority = _PRIORITIES.get(value)
    if priority is None:
        names = ", ".join(pb.Priority.Name(known) for known in _PRIORITIES)
        raise InvalidArgument("priority", value, names)
    return priority


def model_to_proto(model: Model, limits: Limits, max_message_bytes: int) -> pb.Model:
    """Describe a model and what this service accepts for it."""
    return pb.Model(
        name=model.name,
        title=model.title,
        description=model.description,
        version=model.version,
        palette=[
            pb.PaletteEntry(id=entry.id, name=entry.name, title=entry.title, color=entry.color)
            for entry in model.palette
        ],
        conditions=[_condition_to_proto(support, limits) for support in model.conditions.values()],
        image_width=model.image_width,
        image_height=model.image_height,
        latent_size=model.latent_size,
        latent_scale=model.latent_scale,
        limits=pb.Limits(
            max_images=limits.max_images,
            max_label_map_width=limits.max_side,
            max_label_map_height=limits.max_side,
            max_label_map_pixels=limits.max_pixels,
            max_png_bytes=limits.max_encoded_bytes,
            max_request_bytes=max_message_bytes,
            max_strokes=limits.max_strokes,
            max_stroke_points=limits.max_stroke_points,
            max_stroke_width=limits.max_stroke_width,
            max_stroke_pixels=limits.max_stroke_pixels,
            max_picture_bytes=limits.max_encoded_bytes,
            max_morph_frames=limits.max_morph_frames,
            max_morph_position=limits.max_morph_position,
            max_blend_styles=limits.max_blend_styles,
            max_style_weight=limits.max_style_weight,
            max_style_value=limits.max_style_value,
            max_style_seeds=limits.max_style_seeds,
        ),
        method=_METHOD_VALUES[model.method],
        styles=support_to_proto(model.styles) if model.styles else None,
        editing=editing_to_proto(model.editing, limits) if model.editing else None,
    )


def image_to_proto(job: Job | Edit, picture: Picture) -> pb.Image:
    """Put a finished picture on the wire."""
    return pb.Image(
        data=picture.data,
        format=_FORMAT_VALUES[job.image_format],
        width=picture.width,
        height=picture.height,
        seed=picture.seed,
    )


def _condition_to_proto(support: ConditionSupport, limits: Limits) -> pb.ConditionSupport:
    allowed = support.style_strength
    sketch = support.kind is ConditionKind.SKETCH
    return pb.ConditionSupport(
        kind=_CONDITION_VALUES[support.kind],
        width=support.width,
        height=support.height,
        style_strength=None
        if allowed is None
        else pb.StyleStrengthRange(min=allowed.min, max=allowed.max, default_value=allowed.default),
        proxy_clusters=support.proxy_clusters,
        min_sketch_ink=limits.min_sketch_ink if sketch else 0,
        max_mean_sketch_ink=limits.max_mean_sketch_ink if sketch else 0,
    )


def members(message: Message, oneof: str) -> str:
    """The fields of a oneof, for people."""
    return ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields)
