"""Conditions and images as callers send them: not yet decoded, free of the wire's types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.codecs.strokes import Stroke
from service.synthesis.registry.models import ConditionKind


@dataclass(frozen=True, slots=True)
class PngLabelMap:
    """A label map as a PNG file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawLabelMap:
    """A label map as one byte per pixel, row by row."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class RunLengthLabelMap:
    """A label map as runs of equal pixels, row by row."""

    class_ids: Sequence[int]
    lengths: Sequence[int]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class DecodedLabelMap:
    """A label map that was decoded and checked before, as the canvas of a painting is.

    Attributes:
        ids: uint8 `[height, width]`, classes of the model's palette.
    """

    ids: NDArray[np.uint8]


EncodedIds = PngLabelMap | RawLabelMap | RunLengthLabelMap
"""A map of ids as it was sent: of classes in a label map or a scribble, of clusters in a proxy mask."""

LabelMap = EncodedIds | DecodedLabelMap


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image as a PNG or JPEG file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawImage:
    """An image as RGB, row by row."""

    data: bytes
    width: int
    height: int


EncodedImage = ImageFile | RawImage
"""An image as it was sent."""


@dataclass(frozen=True, slots=True)
class RawSketch:
    """A sketch as one grey per pixel, row by row, 0 for full ink."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """Lines in dark ink on a light or transparent ground."""

    encoding: ImageFile | RawSketch


@dataclass(frozen=True, slots=True)
class ScribbleStrokes:
    """Strokes on an empty canvas.

    Attributes:
        strokes: In pixels of the canvas.
        width: Of the canvas in pixels; None for the model's.
        height: Of the canvas in pixels; None for the model's.
    """

    strokes: Sequence[Stroke]
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Scribble:
    """Some pixels of a label map."""

    encoding: EncodedIds | ScribbleStrokes


@dataclass(frozen=True, slots=True)
class ProxyMask:
    """The cluster of each cell."""

    encoding: EncodedIds


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An image whose structure is taken over."""

    encoding: EncodedImage


@dataclass(frozen=True, slots=True)
class CanvasOf:
    """A canvas that is kept elsewhere: what the condition of a painting becomes once it has been drawn."""

    kind: ConditionKind


Condition = LabelMap | Sketch | Scribble | ProxyMask | Exemplar | CanvasOf


def kind_of(condition: Condition) -> ConditionKind:
    """What kind of condition it is."""
    match condition:
        case CanvasOf(kind):
            return kind
        case Sketch():
            return ConditionKind.SKETCH
        case Scribble():
            return ConditionKind.SCRIBBLE
        case ProxyMask():
            return ConditionKind.PROXY_MASK
        case Exemplar():
            return ConditionKind.EXEMPLAR
    return ConditionKind.LABEL_MAP
