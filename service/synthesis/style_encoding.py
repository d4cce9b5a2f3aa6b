"""Reads the styles of a picture: one code for each style that its label map has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.core.admission import Admission
from service.core.errors import EngineFailure, InvalidArgument
from service.core.limits import LIMITS, Limits
from service.engine.base import Engine, Priority, StageTiming
from service.synthesis import tensors
from service.synthesis.decoding import decode_label_map, decode_source_picture
from service.synthesis.models import ConditionKind, Model, StyleSupport
from service.synthesis.orders import find_model
from service.synthesis.request import EncodedPicture, LabelMap, Origin
from service.synthesis.runs import run_model
from service.synthesis.starts import normal_from_seed
from service.synthesis.style_orders import style_support
from service.synthesis.style_requests import StyleCode
from service.synthesis.warm_up import blank_label_map, grey_picture

# The least that a float32 can say of a variance; more would only overflow on the way to what is cut off.
_MAX_LOG_VARIANCE = 80.0


@dataclass(frozen=True, slots=True)
class EncodingRequest:
    """What a caller asks for.

    Attributes:
        model: Name of the model.
        picture: The picture.
        label_map: The class of each of its pixels.
        sample_seed: Of the sample to take; None for the mean.
        priority: Whether somebody waits.
    """

    model: str
    picture: EncodedPicture
    label_map: LabelMap
    sample_seed: int | None = None
    priority: Priority = Priority.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Encoding:
    """The styles of one picture.

    Attributes:
        index: 0; as of a request for one picture.
        model: The model that read them.
        codes: One for each style, ordered by class.
        queue_seconds: Time the request waited for a free decoder.
        decode_seconds: Time that decoding and checking took.
        wait_seconds: Time it waited for its turn.
        stages: Time of the encoder.
        encode_seconds: 0, as no picture is written.
    """

    model: Model
    codes: tuple[StyleCode, ...]
    queue_seconds: float
    decode_seconds: float
    wait_seconds: float
    stages: tuple[StageTiming, ...]
    index: int = 0
    encode_seconds: float = 0.0


class StyleEncoder:
    """Reads the styles of the pictures that callers send.

    Args:
        engine: Runs the models.
        catalogue: The models on offer, by name.
        codecs: Threads that decode.
        admission: Decides what is done next.
        limits: Bounds of a request.
    """

    def __init__(
        self,
        engine: Engine,
        catalogue: Mapping[str, Model],
        codecs: Executor,
        admission: Admission,
        limits: Limits = LIMITS,
    ) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._codecs = codecs
        self._admission = admission
        self._limits = limits

    async def warm_up(self) -> None:
        """Read a grey picture with every model that has styles.

        Raises:
            MaskweaveError: A model cannot read pictures; the service is better not started.
        """
        for model in self._catalogue.values():
            if model.styles is not None:
                width, height = model.image_width, model.image_height
                picture = grey_picture(width=width, height=height)
                blank = blank_label_map(model, width=width, height=height)
                await self.encode(EncodingRequest(model.name, picture, blank))

    async def encode(self, request: EncodingRequest, origin: Origin = Origin()) -> Encoding:  # noqa: B008 - frozen
        """Read the styles of a picture.

        Raises:
            InvalidArgument: A field has a value that is not allowed.
            NotFound: There is no such model.
            DeadlineExceeded: The deadline passed.
            Overloaded: There is no room, or it would be ready after its deadline.
            Unavailable: The engine is not running or out of reach.
            EngineFailure: The encoder failed.
        """
        arrived = time.perf_counter()
        model = find_model(request.model, self._catalogue, field="model")
        support = style_support(model)
        loop = asyncio.get_running_loop()
        with self._admission.enter(
            support.encoder,  # it takes another time than pictures do
            1,
            caller=origin.caller,
            priority=request.priority,
            seconds_left=origin.seconds_left,
        ) as visit:
            decode = partial(_decode, request, model, self._limits)
            picture, label_map, began, ended = await loop.run_in_executor(self._codecs, decode)
            entered = time.perf_counter()
            async with self._admission.turn(visit):
                waited = time.perf_counter() - entered
                result = await run_model(
                    self._engine,
                    support.encoder,
                    {tensors.PICTURE: picture[np.newaxis], tensors.LABEL_MAP: label_map[np.newaxis]},
                    [tensors.STYLE_MEAN, tensors.STYLE_LOG_VARIANCE],
                    origin=origin,
                    priority=visit.priority,
                )
        mean, log_variance = (
            result.outputs[name][0] for name in (tensors.STYLE_MEAN, tensors.STYLE_LOG_VARIANCE)
        )
        values = _values(mean, log_variance, request.sample_seed, support, self._limits)
        codes = _codes(values, label_map, model, support)
        return Encoding(model, codes, began - arrived, ended - began, waited, result.timings)


def _values(
    mean: NDArray[np.float32],
    log_variance: NDArray[np.float32],
    seed: int | None,
    support: StyleSupport,
    limits: Limits,
) -> NDArray[np.float32]:
    """The codes of all styles, float32 `[styles, style_size]`, inside the bounds of a code."""
    values = mean.astype(np.float64)
    if seed is not None:
        noise = normal_from_seed(seed, values.size).reshape(values.shape)
        deviation = np.exp(np.minimum(log_variance.astype(np.float64), _MAX_LOG_VARIANCE) / 2.0)
        values = values + deviation * noise
    if not np.isfinite(values).all():
        raise EngineFailure(f"{support.encoder} gave codes that are not finite")
    return np.clip(values, -limits.max_style_value, limits.max_style_value).astype(np.float32)


def _codes(
    values: NDArray[np.float32], label_map: NDArray[np.uint8], model: Model, support: StyleSupport
) -> tuple[StyleCode, ...]:
    covered: dict[int, list[int]] = {}
    for class_id in np.unique(label_map).tolist():
        covered.setdefault(support.style_of_class[class_id], []).append(class_id)
    return tuple(
        StyleCode(model.name, model.version, class_ids[0], values[style].tolist(), class_ids)
        for style, class_ids in covered.items()
    )


def _decode(
    request: EncodingRequest, model: Model, limits: Limits
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float, float]:
    """Runs on a codec thread. Returns picture and label map, and when this began and ended."""
    began = time.perf_counter()
    picture = decode_source_picture(request.picture, model, limits)
    label_map = decode_label_map(request.label_map, model, limits)
    condition = model.conditions[ConditionKind.LABEL_MAP]
    if label_map.shape != (condition.height, condition.width):
        found = f"{label_map.shape[1]} x {label_map.shape[0]} pixels"
        allowed = f"exactly {condition.width} x {condition.height} pixels, to fit the picture"
        raise InvalidArgument("label_map", found, allowed)
    return picture, np.ascontiguousarray(label_map), began, time.perf_counter()
