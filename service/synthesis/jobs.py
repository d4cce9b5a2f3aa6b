"""What is being made: a request that was checked and decoded, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.codecs.picture import ImageFormat
from service.core.admission import Visit
from service.engine.base import StageTiming
from service.synthesis.models import ConditionSupport, Model
from service.synthesis.request import Origin
from service.synthesis.starts import Start
from service.synthesis.style_mixing import StyleMixer


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was checked and decoded: nothing the caller did can make it fail any more.

    Attributes:
        model: The model that will make the pictures.
        support: How the model takes the condition.
        condition: uint8, of the size and the form that the model reads.
        starts: One per picture.
        style_strength: Inside the model's range; None for models without.
        styles: Makes the styles of the pictures; None for models without.
        positions: Of each picture between two ends; none when it is not on a way.
        image_format: File format of the pictures.
        image_quality: Quality for lossy formats; None for the default.
        origin: Where the request comes from.
        visit: Its admission.
        queue_seconds: Time the request waited for a free decoder.
        decode_seconds: Time that decoding, checking and resizing took.
    """

    model: Model
    support: ConditionSupport
    condition: NDArray[np.uint8]
    starts: tuple[Start, ...]
    style_strength: float | None
    styles: StyleMixer | None
    positions: tuple[float, ...]
    image_format: ImageFormat
    image_quality: int | None
    origin: Origin
    visit: Visit
    queue_seconds: float
    decode_seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    """One finished picture.

    Attributes:
        index: Which of the request's pictures it is, from 0.
        data: The file.
        width: Width in pixels.
        height: Height in pixels.
        seed: The seed it came from, or None for an explicit latent.
        wait_seconds: Time it waited for its turn.
        stages: Time of each stage, in the order of execution.
        encode_seconds: Time that encoding took.
    """

    index: int
    data: bytes
    width: int
    height: int
    seed: int | None
    wait_seconds: float
    stages: tuple[StageTiming, ...]
    encode_seconds: float
