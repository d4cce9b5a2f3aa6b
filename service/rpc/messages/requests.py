"""Requests of the contract to the service's own types; what their values mean is checked later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument, field_prefix
from service.rpc.messages.fields import (
    LatentsOfMessage,
    StrokesOfMessage,
    StylesOfMessage,
    ids_from_proto,
    image_format_from_proto,
    image_from_proto,
    latent_source_from_proto,
    meaning_of,
    members,
    priority_from_proto,
)
from service.synthesis.canvas import Update, Whole
from service.synthesis.conditions.types import (
    Condition,
    EncodedImage,
    Exemplar,
    ImageFile,
    ProxyMask,
    RawSketch,
    Scribble,
    ScribbleStrokes,
    Sketch,
)
from service.synthesis.painted_edits import PaintedEdit
from service.synthesis.requests import (
    EditRequest,
    EncodeStylesRequest,
    FirstSeed,
    LabelMapEncoding,
    Latent,
    Latents,
    LatentSource,
    ReadLabelMapRequest,
    Seeds,
    SingleLatentSource,
    SynthesisRequest,
)
from service.synthesis.styles.types import MorphStyles

_SPHERICAL: Mapping[int, bool] = {
    pb.MORPH_PATH_UNSPECIFIED: False,
    pb.MORPH_PATH_LINEAR: False,
    pb.MORPH_PATH_SPHERICAL: True,
}


_ENCODINGS: Mapping[int, LabelMapEncoding] = {
    pb.LABEL_MAP_ENCODING_UNSPECIFIED: LabelMapEncoding.PNG,
    pb.LABEL_MAP_ENCODING_PNG: LabelMapEncoding.PNG,
    pb.LABEL_MAP_ENCODING_RAW: LabelMapEncoding.RAW,
    pb.LABEL_MAP_ENCODING_RUN_LENGTH: LabelMapEncoding.RUN_LENGTH,
}


def synthesis_from_proto(message: pb.SynthesizeRequest) -> SynthesisRequest:
    """Read a request of `Synthesize` or `SynthesizeStream`.

    Raises:
        InvalidArgument: The condition or its encoding is not set, or the format or the priority is not a
            known one.
    """
    return SynthesisRequest(
        model=message.model,
        condition=_condition(message),
        latent_source=_latent_source(message),
        number_of_images=message.number_of_images if message.HasField("number_of_images") else None,
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        model_version=message.model_version,
        styles=StylesOfMessage(message.styles),
    )


def morph_from_proto(message: pb.MorphRequest) -> SynthesisRequest:
    """Read a request of `Morph`.

    Raises:
        InvalidArgument: The label map or its encoding is not set, or the path, the format or the priority is
            not a known one.
    """
    if not message.HasField("label_map"):
        raise InvalidArgument("label_map", "no label map", "what the frames follow")
    return SynthesisRequest(
        model=message.model,
        condition=ids_from_proto(message.label_map),
        latent_source=latent_source_from_proto(message),
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        model_version=message.model_version,
        styles=MorphStyles(
            from_styles=StylesOfMessage(message.from_styles),
            to_styles=StylesOfMessage(message.to_styles),
            frames=message.number_of_frames,
            first=message.first_position if message.HasField("first_position") else 0.0,
            last=message.last_position if message.HasField("last_position") else 1.0,
            spherical=_is_spherical(message.path),
        ),
    )


def edit_from_proto(message: pb.EditRequest) -> EditRequest:
    """Read a request of `Edit`.

    Raises:
        InvalidArgument: The target label map, the source or an encoding is not set, or the format or the
            priority is not a known one.
    """
    if not message.HasField("target_label_map"):
        raise InvalidArgument("target_label_map", "no label map", "what the image is to show")
    return EditRequest(
        model=message.model,
        source=_single_source(message),
        target_label_map=ids_from_proto(message.target_label_map, field="target_label_map"),
        source_label_map=ids_from_proto(message.source_label_map, field="source_label_map")
        if message.HasField("source_label_map")
        else None,
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        blend_width=message.blend_width if message.HasField("blend_width") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        model_version=message.model_version,
    )


def encode_styles_from_proto(message: pb.EncodeStylesRequest) -> EncodeStylesRequest:
    """Read a request of `EncodeStyles`.

    Raises:
        InvalidArgument: The image, the label map or an encoding is not set, or the priority is not a
            known one.
    """
    for field in ("picture", "label_map"):
        if not message.HasField(field):
            raise InvalidArgument(field, f"no {field}", "an image and its label map")
    return EncodeStylesRequest(
        model=message.model,
        image=image_from_proto(message.picture),
        label_map=ids_from_proto(message.label_map),
        sample_seed=message.sample_seed if message.HasField("sample_seed") else None,
        priority=priority_from_proto(message.priority),
        model_version=message.model_version,
    )


def read_label_map_from_proto(message: pb.ReadLabelMapRequest) -> ReadLabelMapRequest:
    """Read a request of `ReadLabelMap`.

    Raises:
        InvalidArgument: The source or its encoding is not set, or the label map's encoding, the format or the
            priority is not a known one.
    """
    image_format = image_format_from_proto(message.image_format)
    return ReadLabelMapRequest(
        model=message.model,
        source=_single_source(message),
        encoding=_label_map_encoding(message.label_map_encoding),
        image_format=image_format if message.image_format else None,
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        model_version=message.model_version,
    )


def painting_from_proto(message: pb.PaintStart) -> SynthesisRequest:
    """Read what a painting begins with, but for what it edits.

    Raises:
        InvalidArgument: The canvas or its encoding is not set, there are several, or the format or the
            priority is not a known one.
    """
    given = [field for field in _CANVASES if message.HasField(field)]
    if not given:
        raise InvalidArgument("label_map", "no canvas", f"exactly one of {', '.join(_CANVASES)}")
    if len(given) > 1:
        raise InvalidArgument(given[1], " and ".join(given), f"exactly one of {', '.join(_CANVASES)}")
    return SynthesisRequest(
        model=message.model,
        condition=_canvas(message, given[0]),
        latent_source=latent_source_from_proto(message),
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        image_format=image_format_from_proto(message.image_format),
        image_quality=message.image_quality if message.HasField("image_quality") else None,
        priority=priority_from_proto(message.priority),
        styles=StylesOfMessage(message.styles),
        model_version=message.model_version,
    )


def painted_edit_from_proto(message: pb.PaintStart) -> PaintedEdit | None:
    """Read what a painting edits, if it does.

    Raises:
        InvalidArgument: An encoding is not set, or there is a start beside an image.
    """
    if not message.HasField("edit"):
        return None
    edit = message.edit
    with field_prefix("edit"):
        image = image_from_proto(edit.picture) if edit.HasField("picture") else None
        if image is not None and (start := message.WhichOneof("start")) is not None:
            raise InvalidArgument("picture", f"an image beside a {start}", "one of them: what is edited")
        return PaintedEdit(
            image=image,
            source_label_map=ids_from_proto(edit.source_label_map, field="source_label_map")
            if edit.HasField("source_label_map")
            else None,
            blend_width=edit.blend_width if edit.HasField("blend_width") else None,
        )


def update_from_proto(message: pb.PaintUpdate, *, size_bytes: int) -> Update:
    """Read an update of a painting; `size_bytes` is what it takes in memory.

    Raises:
        InvalidArgument: The encoding of its canvas is not set.
    """
    change = message.WhichOneof("change")
    return Update(
        sequence=message.sequence,
        canvas=_canvas(message, change) if change in _CANVASES else None,
        strokes=StrokesOfMessage(message.strokes.strokes) if change == "strokes" else None,
        latent_source=latent_source_from_proto(message),
        style_strength=message.style_strength if message.HasField("style_strength") else None,
        styles=StylesOfMessage(message.styles.styles) if message.HasField("styles") else None,
        size_bytes=size_bytes,
    )


_CANVASES: tuple[Literal["label_map", "sketch", "scribble"], ...] = ("label_map", "sketch", "scribble")


def _canvas(message: pb.PaintStart | pb.PaintUpdate, field: str) -> Whole:
    match field:
        case "sketch":
            return Sketch(_sketch(message.sketch))
        case "scribble":
            return _scribble(message.scribble)
    return ids_from_proto(message.label_map)


def _condition(message: pb.SynthesizeRequest) -> Condition:
    match message.WhichOneof("condition"):
        case "label_map":
            return ids_from_proto(message.label_map)
        case "sketch":
            return Sketch(_sketch(message.sketch))
        case "scribble":
            return _scribble(message.scribble)
        case "proxy_mask":
            return ProxyMask(ids_from_proto(message.proxy_mask, field="proxy_mask"))
        case "exemplar":
            return Exemplar(image_from_proto(message.exemplar, field="exemplar"))
    raise InvalidArgument("condition", "no condition", f"one of {members(message, 'condition')}")


def _sketch(sketch: pb.Sketch) -> ImageFile | RawSketch:
    match sketch.WhichOneof("encoding"):
        case "file":
            return ImageFile(sketch.file)
        case "raw":
            return RawSketch(sketch.raw.data, sketch.raw.width, sketch.raw.height)
    raise InvalidArgument("sketch", "no encoding", f"one of {members(sketch, 'encoding')}")


def _scribble(scribble: pb.Scribble) -> Scribble:
    if scribble.WhichOneof("encoding") == "strokes":
        return Scribble(_strokes(scribble.strokes))
    return Scribble(ids_from_proto(scribble, field="scribble"))


def _strokes(strokes: pb.ScribbleStrokes) -> ScribbleStrokes:
    return ScribbleStrokes(
        StrokesOfMessage(strokes.strokes),
        strokes.width if strokes.HasField("width") else None,
        strokes.height if strokes.HasField("height") else None,
    )


def _latent_source(message: pb.SynthesizeRequest) -> LatentSource | None:
    match message.WhichOneof("start"):
        case "seed":
            return FirstSeed(message.seed)
        case "seeds":
            return Seeds(message.seeds.values)
        case "latents":
            return Latents(LatentsOfMessage(message.latents.latents))
    return None


def _single_source(
    message: pb.EditRequest | pb.ReadLabelMapRequest,
) -> EncodedImage | SingleLatentSource:
    match message.WhichOneof("source"):
        case "picture":
            return image_from_proto(message.picture)
        case "seed":
            return FirstSeed(message.seed)
        case "latent":
            return Latent(message.latent.values)
    raise InvalidArgument("source", "no source", f"one of {members(message, 'source')}")


def _is_spherical(path: pb.MorphPath.ValueType) -> bool:
    return meaning_of("path", path, _SPHERICAL, pb.MorphPath)


def _label_map_encoding(value: pb.LabelMapEncoding.ValueType) -> LabelMapEncoding:
    return meaning_of("label_map_encoding", value, _ENCODINGS, pb.LabelMapEncoding)
