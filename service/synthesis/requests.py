"""Requests as callers send them, free of the wire's types and not yet checked, and the call they come in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from service.codecs.image import ImageFormat
from service.core.trace import NO_TRACE, Trace
from service.engine.base import Priority
from service.synthesis.conditions.types import Condition, EncodedImage, LabelMap
from service.synthesis.styles.types import MorphStyles, Styles
from service.synthesis.work import CallTimings


@dataclass(frozen=True, slots=True)
class FirstSeed:
    """Latents of seeds that count up from this one."""

    seed: int


@dataclass(frozen=True, slots=True)
class Seeds:
    """Latents of these seeds."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Latents:
    """These latents."""

    values: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Latent:
    """This latent."""

    values: Sequence[float]


SingleLatentSource = FirstSeed | Latent
"""Where the latent of one image comes from, or that of all images of a request."""

LatentSource = SingleLatentSource | Seeds | Latents
"""Where the latents of a request's images come from."""


@dataclass(slots=True)
class CallContext:
    """The call that a request comes with.

    Attributes:
        caller: Whose it is: the id of their key or, where none is asked for, where they call from.
        request_id: Identifies it in logs.
        deadline: Time of the event loop's clock at which the answer is of no use any more.
        trace: The trace that it is part of.
        timings: Time of its images.
    """

    caller: str = ""
    request_id: str = ""
    deadline: float = math.inf
    trace: Trace = NO_TRACE
    timings: CallTimings = field(default_factory=CallTimings)

    @property
    def seconds_left(self) -> float:
        """Time until the deadline, negative after it; to be asked for inside the event loop."""
        return self.deadline - asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """Images that follow a condition.

    Attributes:
        model: Name of the model.
        condition: What the images must follow.
        latent_source: None for a random first seed.
        number_of_images: How many; None for as many as `latent_source` has, or 1.
        style_strength: None for the model's default.
        image_format: File format of the images.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the images at a screen.
        styles: How classes look in every image, or the way from some styles to others.
        model_version: Version of the model; empty for the one that is the default.
    """

    model: str
    condition: Condition
    latent_source: LatentSource | None = None
    number_of_images: int | None = None
    style_strength: float | None = None
    image_format: ImageFormat = ImageFormat.PNG
    image_quality: int | None = None
    priority: Priority = Priority.INTERACTIVE
    styles: Styles | MorphStyles = field(default_factory=lambda: MappingProxyType({}))
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class EditRequest:
    """An image with another shape in places.

    Attributes:
        model: Name of the model.
        source: What is edited: an image, or what one seed or latent gives.
        target_label_map: What the image is to show.
        source_label_map: What it shows now; None if all of it is to be made anew.
        style_strength: None for the model's default.
        blend_width: Width of the soft edge in pixels; None for the default.
        image_format: File format of the image.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the image.
        model_version: Version of the model; empty for the one that is the default.
    """

    model: str
    source: EncodedImage | SingleLatentSource
    target_label_map: LabelMap
    source_label_map: LabelMap | None = None
    style_strength: float | None = None
    blend_width: float | None = None
    image_format: ImageFormat = ImageFormat.PNG
    image_quality: int | None = None
    priority: Priority = Priority.INTERACTIVE
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class EncodeStylesRequest:
    """The styles of an image.

    Attributes:
        model: Name of the model.
        image: The image.
        label_map: The class of each of its pixels.
        sample_seed: Of the sample to take; None for the mean.
        priority: Whether somebody waits.
        model_version: Version of the model; empty for the one that is the default.
    """

    model: str
    image: EncodedImage
    label_map: LabelMap
    sample_seed: int | None = None
    priority: Priority = Priority.INTERACTIVE
    model_version: str = ""


class LabelMapEncoding(StrEnum):
    """Encodings of a label map that is sent to a caller."""

    PNG = "png"
    RAW = "raw"
    RUN_LENGTH = "run_length"


@dataclass(frozen=True, slots=True)
class ReadLabelMapRequest:
    """The label map of an image.

    Attributes:
        model: Name of the model.
        source: What it is read off: an image, or the generator's own of one seed or latent.
        encoding: Of the label map.
        image_format: File format of the image of a seed or a latent; None for the default.
        image_quality: Quality of that image for lossy formats; None for the default.
        priority: Whether somebody waits.
        model_version: Version of the model; empty for the one that is the default.
    """

    model: str
    source: EncodedImage | SingleLatentSource
    encoding: LabelMapEncoding = LabelMapEncoding.PNG
    image_format: ImageFormat | None = None
    image_quality: int | None = None
    priority: Priority = Priority.INTERACTIVE
    model_version: str = ""
