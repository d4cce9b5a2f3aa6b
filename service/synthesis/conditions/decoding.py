"""From a condition as it was sent to what the model reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from service.codecs.label_map import check_classes, check_ids, decode_raw, decode_run_length, resize_nearest
from service.codecs.png import Colour, decode_png, ids_by_colour
from service.codecs.scribble import NOT_DRAWN, check_drawn, check_scribble_ids, draw_scribble, resize_scribble
from service.codecs.sketch import ink_of, resize_ink
from service.codecs.source_image import (
    decode_any_image,
    decode_any_pixels,
    decode_image,
    decode_on_white,
    decode_pixels,
    resize_image,
)
from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.synthesis.conditions.types import (
    CanvasOf,
    DecodedLabelMap,
    EncodedIds,
    EncodedImage,
    Exemplar,
    ImageFile,
    LabelMap,
    PngLabelMap,
    ProxyMask,
    RawImage,
    RawLabelMap,
    RawSketch,
    RunLengthLabelMap,
    Scribble,
    ScribbleStrokes,
    Sketch,
)
from service.synthesis.registry.models import ConditionSupport, Model
from service.synthesis.validation.images import ValidatedRequest
from service.synthesis.validation.styles import check_present


def decode_condition(request: ValidatedRequest, limits: Limits) -> NDArray[np.uint8]:
    """Decode the condition of a request, check it and resize it. Meant for a worker thread.

    Returns:
        What the model reads, uint8 `[height, width]`, or `[height, width, 3]` of an exemplar.

    Raises:
        InvalidArgument: It cannot be decoded, is too large or of a wrong size, has an id that the model does
            not know, or is blank; or it lacks a class whose style is given.
    """
    model, support = request.model, request.support
    width, height = support.width, support.height
    match request.condition:
        case Sketch(encoding):
            greys, field = decode_greys(encoding, limits)
            return resize_ink(ink_of(greys, field=field, limits=limits), width, height)
        case Scribble(encoding):
            return _decode_scribble(encoding, model, support, limits)
        case ProxyMask(encoding):
            return _decode_proxy_mask(encoding, support, limits)
        case Exemplar(encoding):
            return resize_image(decode_image_of_any_size(encoding, limits, field="exemplar"), width, height)
        case CanvasOf():
            raise AssertionError("a canvas is read where it is drawn")
        case _ as label_map:
            return resize_nearest(_decode_styled(label_map, request, limits), width, height)


def _decode_styled(label_map: LabelMap, request: ValidatedRequest, limits: Limits) -> NDArray[np.uint8]:
    """The label map of a request, which must have every class whose style is given."""
    model = request.model
    ids = decode_label_map(label_map, model, limits)
    if request.styles is not None and model.styles is not None:
        for given in request.styles.ends:
            check_present(given, ids, model.styles)
    return ids


def decode_label_map(
    label_map: LabelMap, model: Model, limits: Limits, *, field: str = "label_map"
) -> NDArray[np.uint8]:
    """Decode a label map and check its classes; `field` is where the request has it. For a worker thread.

    Returns:
        Class ids, uint8 `[height, width]`, of the size that was sent.

    Raises:
        InvalidArgument: It cannot be decoded, is too large, or has a class that the model does not know.
    """
    if isinstance(label_map, DecodedLabelMap):
        return label_map.ids
    ids, field = _decode_ids(label_map, field, limits, model.id_of_colour)
    check_classes(ids, model.class_ids, field=field)
    return ids


def decode_source_image(image: EncodedImage, model: Model, limits: Limits) -> NDArray[np.uint8]:
    """Decode the field `picture` of a request, which has the size that the model makes. For a worker thread.

    Returns:
        RGB, uint8 `[height, width, 3]`.

    Raises:
        InvalidArgument: It cannot be decoded, or is of another size.
    """
    width, height = model.image_width, model.image_height
    match image:
        case ImageFile(data):
            return decode_image(data, width, height, field="picture.file", limits=limits)
        case RawImage(data, given_width, given_height):
            return decode_pixels(data, (given_width, given_height), width, height, field="picture.raw")


def decode_image_of_any_size(image: EncodedImage, limits: Limits, *, field: str) -> NDArray[np.uint8]:
    """Decode an image; `field` is where the request has it. For a worker thread.

    Returns:
        RGB, uint8 `[height, width, 3]`, of the size that was sent.

    Raises:
        InvalidArgument: It cannot be decoded, or is too large.
    """
    match image:
        case ImageFile(data):
            return decode_any_image(data, field=f"{field}.file", limits=limits)
        case RawImage(data, width, height):
            return decode_any_pixels(data, width, height, field=f"{field}.raw", limits=limits)


def _decode_ids(
    encoded: EncodedIds, field: str, limits: Limits, colours: Mapping[Colour, int], kept: Collection[int] = ()
) -> tuple[NDArray[np.uint8], str]:
    """The ids, uint8 `[height, width]`, and the path of the encoding they came in.

    Args:
        encoded: As it was sent.
        field: Where the request has it.
        limits: Bounds of its size.
        colours: The ids by the model's colours; none where ids have no colours.
        kept: Ids that have none.
    """
    match encoded:
        case PngLabelMap(data):
            field += ".png"
            file = decode_png(data, field=field, limits=limits)
            if file.palette is None:
                return file.ids, field
            return ids_by_colour(file.ids, file.palette, colours, field=field, kept=kept), field
        case RawLabelMap(data, width, height):
            field += ".raw"
            return decode_raw(data, width, height, field=field, limits=limits), field
        case RunLengthLabelMap(class_ids, lengths, width, height):
            field += ".run_length"
            return decode_run_length(class_ids, lengths, width, height, field=field, limits=limits), field


def decode_greys(encoding: ImageFile | RawSketch, limits: Limits) -> tuple[NDArray[np.uint8], str]:
    """Decode a sketch, whatever ink it has. For a worker thread.

    Returns:
        Greys, uint8 `[height, width]`, 0 for full ink, of the size that was sent, and the encoding's path.

    Raises:
        InvalidArgument: It cannot be decoded, or is too large.
    """
    match encoding:
        case ImageFile(data):
            field = "sketch.file"
            return decode_on_white(data, field=field, limits=limits), field
        case RawSketch(data, width, height):
            field = "sketch.raw"
            return decode_raw(data, width, height, field=field, limits=limits), field


def decode_scribble_ids(encoding: EncodedIds, model: Model, limits: Limits) -> tuple[NDArray[np.uint8], str]:
    """Decode a scribble that came as an image, which may be empty. For a worker thread.

    Returns:
        Class ids or `NOT_DRAWN`, uint8 `[height, width]`, of the size that was sent, and the encoding's path.

    Raises:
        InvalidArgument: It cannot be decoded, is too large, or has a class that the model does not know.
    """
    ids, field = _decode_ids(encoding, "scribble", limits, model.id_of_colour, (NOT_DRAWN,))
    check_scribble_ids(ids, model.class_ids, field=field)
    return ids, field


def _decode_scribble(
    encoding: EncodedIds | ScribbleStrokes, model: Model, support: ConditionSupport, limits: Limits
) -> NDArray[np.uint8]:
    size = (support.height, support.width)
    if isinstance(encoding, ScribbleStrokes):
        canvas = (
            support.height if encoding.height is None else encoding.height,
            support.width if encoding.width is None else encoding.width,
        )
        field = "scribble.strokes"
        return draw_scribble(encoding.strokes, model.class_ids, canvas, size, field=field, limits=limits)
    ids, field = decode_scribble_ids(encoding, model, limits)
    check_drawn(ids, field=field)
    return resize_scribble(ids, support.width, support.height)


def _decode_proxy_mask(encoding: EncodedIds, support: ConditionSupport, limits: Limits) -> NDArray[np.uint8]:
    ids, field = _decode_ids(encoding, "proxy_mask", limits, {})
    height, width = ids.shape
    if (width, height) != (support.width, support.height):
        allowed = f"exactly {support.width} x {support.height} cells, the model's"
        raise InvalidArgument(field, f"{width} x {height} cells", allowed)
    clusters = range(support.proxy_clusters)
    check_ids(ids, clusters, "cluster", lambda: f"cluster ids 0 to {clusters[-1]}", field=field)
    return np.ascontiguousarray(ids)
