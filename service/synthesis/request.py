"""A request for pictures, free of the wire's types. Holds what the caller sent, not yet checked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from service.codecs.picture import ImageFormat
from service.codecs.strokes import Stroke
from service.engine.base import Priority
from service.synthesis.models import ConditionKind
from service.synthesis.style_requests import MorphStyles, Styles


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
    """A label map that was decoded and checked before: the canvas of a painting.

    Attributes:
        ids: uint8 `[height, width]`, classes of the model's palette.
    """

    ids: NDArray[np.uint8]


EncodedIds = PngLabelMap | RawLabelMap | RunLengthLabelMap
"""A map of ids as it was sent: of classes in a label map or a scribble, of clusters in a proxy mask."""

LabelMap = EncodedIds | DecodedLabelMap


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture as a PNG or JPEG file."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A picture as RGB, row by row."""

    data: bytes
    width: int
    height: int


EncodedPicture = PictureFile | RawPicture
"""A picture as it was sent."""


@dataclass(frozen=True, slots=True)
class RawSketch:
    """A sketch as one grey per pixel, row by row, 0 for full ink."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """Lines in dark ink on a light or transparent ground."""

    encoding: PictureFile | RawSketch


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
    """A picture whose structure is taken over."""

    encoding: EncodedPicture


Condition = LabelMap | Sketch | Scribble | ProxyMask | Exemplar


def kind_of(condition: Condition) -> ConditionKind:
    """What kind of condition it is."""
    match condition:
        case Sketch():
            return ConditionKind.SKETCH
        case Scribble():
            return ConditionKind.SCRIBBLE
        case ProxyMask():
            return ConditionKind.PROXY_MASK
        case Exemplar():
            return ConditionKind.EXEMPLAR
    return ConditionKind.LABEL_MAP


@dataclass(frozen=True, slots=True)
class FirstSeed:
    """Start from seeds that count up from this one."""

    seed: int


@dataclass(frozen=True, slots=True)
class Seeds:
    """Start from these seeds."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Latents:
    """Start from these latents."""

    values: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Latent:
    """Start from this latent."""

    values: Sequence[float]


OneStart = FirstSeed | Latent
"""What one picture starts from, or all pictures that are to start alike."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, and until when its answer is of use.

    Attributes:
        caller: Whose it is; requests of one caller share what is fairly theirs.
        request_id: Identifies it in logs.
        deadline: Time of the event loop's clock.
        trace: Headers of the caller's trace context.
    """

    caller: str = ""
    request_id: str = ""
    deadline: float = math.inf
    trace: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def seconds_left(self) -> float:
        """Time until the deadline, negative after it; to be asked for inside the event loop."""
        return self.deadline - asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """What a caller asks for.

    Attributes:
        model: Name of the model.
        condition: What the pictures must follow.
        start: What the pictures start from; None for a random first seed.
        number_of_images: How many; None for as many as `start` has, or 1.
        style_strength: None for the model's default.
        image_format: File format of the pictures.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the pictures at a screen.
        styles: How classes look in every picture, or the way from some styles to others.
    """

    model: str
    condition: Condition
    start: OneStart | Seeds | Latents | None = None
    number_of_images: int | None = None
    style_strength: float | None = None
    image_format: ImageFormat = ImageFormat.PNG
    image_quality: int | None = None
    priority: Priority = Priority.INTERACTIVE
    styles: Styles | MorphStyles = field(default_factory=lambda: MappingProxyType({}))
