"""The messages of a painting, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._conditions import Conditions, Scribble, Sketch, condition_fields
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    ImageFormat,
    LabelMap,
    Priority,
    check_choices,
    label_map_to_proto,
    latent_to_proto,
    set_numbers,
)
from maskweave_client._strokes import Stroke, stroke_to_proto
from maskweave_client._style_requests import SourceImage, image_to_proto
from maskweave_client._styles import Style, styles_to_proto

FINISHED = "The painting is finished or closed; it takes no more updates."


@dataclass(frozen=True)
class PaintedEdit:
    """What is edited while its target label map is painted.

    Attributes:
        image: An image of the model's size; None for what the painting's seed or latent gives.
        source: The label map of what is edited, as it is now: only what differs from the canvas is made anew.
            None makes the whole image anew.
        blend_width: How far around what is edited the result is blended in, in pixels; the model's default
            when None.
    """

    image: SourceImage | None = None
    source: LabelMap | None = None
    blend_width: float | None = None


def paint_start(
    model: str,
    label_map: LabelMap | None = None,
    *,
    sketch: Sketch | None = None,
    scribble: Scribble | LabelMap | None = None,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
    style_strength: float | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
    styles: Mapping[int, Style] | None = None,
    edit: PaintedEdit | None = None,
    model_version: str = "",
) -> pb.PaintRequest:
    """Build the first message; the service checks its values.

    Raises:
        TypeError: The canvas is of none of the types allowed, or something else is not a number.
        ValueError: There is not exactly one canvas, its shape, mode or values cannot be what it is meant to
            be, a number does not fit its field, the format or the priority is unknown, or both seed and
            latent are given.
    """
    check_choices(image_format, priority)
    start = pb.PaintStart(
        model=model,
        **condition_fields(_canvases(label_map, sketch, scribble)),
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
        styles=styles_to_proto("styles", styles),
        edit=None if edit is None else _edit_to_proto(edit),
        model_version=model_version,
    )
    _set_latent(start, seed, latent)
    set_numbers(start, {"seed": seed, "style_strength": style_strength, "quality": quality})
    return pb.PaintRequest(start=start)


def paint_update(
    sequence: int,
    *,
    label_map: LabelMap | None,
    sketch: Sketch | None = None,
    scribble: Scribble | LabelMap | None = None,
    strokes: Iterable[Stroke] | None,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
    style_strength: float | None,
    styles: Mapping[int, Style] | None = None,
) -> pb.PaintRequest:
    """Build a later message; the service checks its values.

    Raises:
        TypeError: The canvas is of none of the types allowed, or something else is not a number.
        ValueError: The canvas's shape, mode or values cannot be what it is meant to be, a number does not fit
            its field, or more than one canvas, or both a canvas and strokes, or both seed and latent, are
            given.
    """
    canvases = {"label_map": label_map, "sketch": sketch, "scribble": scribble}
    given = [name for name, canvas in canvases.items() if canvas is not None]
    if strokes is not None:
        given.append("strokes")
    if len(given) > 1:
        raise ValueError(f"{', '.join(given)}: got {_HOW_MANY[len(given)]}; allowed: one of them, or none")
    update = pb.PaintUpdate(sequence=sequence)
    if given and strokes is None:
        update = pb.PaintUpdate(sequence=sequence, **condition_fields(_canvases(label_map, sketch, scribble)))
    if styles is not None:
        update.styles.CopyFrom(pb.StyleSet(styles=styles_to_proto("styles", styles)))
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


_HOW_MANY = {2: "both", 3: "three", 4: "four"}


def _canvases(
    label_map: LabelMap | None, sketch: Sketch | None, scribble: Scribble | LabelMap | None
) -> Conditions:
    return Conditions(label_map=label_map, sketch=sketch, scribble=scribble)


def _edit_to_proto(edit: PaintedEdit) -> pb.PaintEdit:
    message = pb.PaintEdit()
    if edit.image is not None:
        message.picture.CopyFrom(image_to_proto("image", edit.image))
    if edit.source is not None:
        message.source_label_map.CopyFrom(label_map_to_proto(edit.source, "source"))
    set_numbers(message, {"blend_width": edit.blend_width})
    return message
