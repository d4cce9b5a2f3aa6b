"""Strokes, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import UINT32, float_of, naming, set_number

_POINTS = "numbers [points, 2], x and y of each"


@dataclass(frozen=True)
class Stroke:
    """A line through points, drawn with a round brush.

    Attributes:
        class_id: Class to draw; 0 on a sketch, where it draws ink, and where it erases.
        points: x and y of each point, `[points, 2]`, in pixels of the canvas from its upper left corner; a
            single point is a dot.
        width: Width of the brush in pixels of the canvas, at least 1.
        erase: Take away what is drawn there, on a scribble or a sketch.
    """

    class_id: int
    points: NDArray[Any] | Sequence[Sequence[float]]
    width: float
    erase: bool = False


def stroke_to_proto(stroke: Stroke) -> pb.Stroke:
    """Encode a stroke.

    Raises:
        TypeError: Something is not a number.
        ValueError: A number does not fit its field.
    """
    message = pb.Stroke(erase=bool(stroke.erase))
    set_number(message, "class_id", stroke.class_id, "class_id", UINT32)
    set_number(message, "width", stroke.width, "width", "a number")
    with naming("points", stroke.points, _POINTS):
        for x, y in stroke.points:
            message.points.add(x=float_of(x), y=float_of(y))
    return message
