"""The messages of a painting, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    UINT32,
    ImageFormat,
    LabelMap,
    Priority,
    check_choices,
    float_of,
    label_map_to_proto,
    latent_to_proto,
    naming,
    set_number,
    set_numbers,
)

FINISHED = "The painting is finished or closed; it takes no more updates."
_POINTS = "numbers [points, 2], x and y of each"


@dataclass(frozen=True)
class Stroke:
    """A line through points, drawn with a round brush.

    Attributes:
        class_id: Class to draw.
        points: x and y of each point, `[points, 2]`, in pixels of the canvas from its upper left corner; a
            single point is a dot.
        width: Width of the brush in pixels of the canvas, at least 1.
    """

    class_id: int
    points: NDArray[Any] | Sequence[Sequence[float]]
    width: float


def paint_start(
    model: str,
    label_map: LabelMap,
    *,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
    style_strength: float | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
) -> pb.PaintRequest:
    """Build the first message; the service checks its values.

    Raises:
        TypeError: The label map is of none of the types allowed, or something else is not a number.
        ValueError: The label map's shape, mode or values cannot be class ids, a number does not fit its
            field, the format or the priority is unknown, or both seed and latent are given.
    """
    check_choices(image_format, priority)
    start = pb.PaintStart(
        model=model,
        label_map=label_map_to_proto(label_map),
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
    )
    _set_latent(start, seed, latent)
    set_numbers(start, {"seed": seed, "style_strength": style_strength, "quality": quality})
    return pb.PaintRequest(start=start)


def paint_update(
    sequence: int,
    *,
    label_map: LabelMap | None,
    strokes: Iterable[Stroke] | None,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
    style_strength: float | None,
) -> pb.PaintRequest:
    """Build a later message; the service checks its values.

    Raises:
        TypeError: The label map is of none of the types allowed, or something else is not a number.
        ValueError: The label map's shape, mode or values cannot be class ids, a number does not fit its
            field, or both label map and strokes, or both seed and latent, are given.
    """
    if label_map is not None and strokes is not None:
        raise ValueError("label_map, strokes: got both; allowed: one of them, or none")
    update = pb.PaintUpdate(sequence=sequence)
    if label_map is not None:
        update.label_map.CopyFrom(label_map_to_proto(label_map))
    if strokes is not None:
        update.strokes.CopyFrom(pb.StrokeList(strokes=map(stroke_to_proto, strokes)))
    _set_latent(update, seed, latent)
    set_numbers(update, {"seed": seed, "style_strength": style_strength})
    return pb.PaintRequest(update=update)


def _set_latent(
    message: pb.PaintStart | pb.PaintUpdate,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
) -> None:
    if latent is None:
        return
    if seed is not None:
        raise ValueError("seed, latent: got both; allowed: one of them, or none")
    message.latent.CopyFrom(latent_to_proto("latent", latent))


def stroke_to_proto(stroke: Stroke) -> pb.Stroke:
    """Encode a stroke.

    Raises:
        TypeError: Something is not a number.
        ValueError: A number does not fit its field.
    """
    message = pb.Stroke()
    set_number(message, "class_id", stroke.class_id, "class_id", UINT32)
    set_number(message, "width", stroke.width, "width", "a number")
    with naming("points", stroke.points, _POINTS):
        for x, y in stroke.points:
            message.points.add(x=float_of(x), y=float_of(y))
    return message
