"""Edits as callers ask for them, free of the wire's types, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass

from service.codecs.picture import ImageFormat
from service.engine.base import Priority
from service.synthesis.jobs import Picture
from service.synthesis.models import Model
from service.synthesis.request import EncodedPicture, LabelMap, OneStart


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What a caller asks for, not yet checked.

    Attributes:
        model: Name of the model.
        source: What is edited: a picture, or what one seed or latent gives.
        target_label_map: What the picture is to show.
        source_label_map: What it shows now; None if all of it is to be made anew.
        style_strength: None for the model's default.
        blend_width: Width of the soft edge in pixels; None for the default.
        image_format: File format of the picture.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the picture.
    """

    model: str
    source: EncodedPicture | OneStart
    target_label_map: LabelMap
    source_label_map: LabelMap | None = None
    style_strength: float | None = None
    blend_width: float | None = None
    image_format: ImageFormat = ImageFormat.PNG
    image_quality: int | None = None
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Edit:
    """A finished edit.

    Attributes:
        model: The model that made it.
        picture: The picture, with the time of what was made of the target.
        before: The time of what was made of the source; None if nothing was.
        image_format: File format of the picture.
        queue_seconds: Time the request waited for a free decoder.
        decode_seconds: Time that decoding and checking took.
    """

    model: Model
    picture: Picture
    before: Picture | None
    image_format: ImageFormat
    queue_seconds: float
    decode_seconds: float
