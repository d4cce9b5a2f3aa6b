"""Reading the styles of an image, as work: one code for each style that its label map has."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.core.errors import EngineFailure, InvalidArgument
from service.core.limits import LIMITS, Limits
from service.engine.base import Inference, Priority, Task
from service.synthesis.conditions.decoding import decode_label_map, decode_source_image
from service.synthesis.registry import tensors
from service.synthesis.registry.models import ConditionKind, Model, StyleSupport
from service.synthesis.requests import EncodeStylesRequest
from service.synthesis.styles.types import StyleCode
from service.synthesis.validation.latents import normal_from_seed
from service.synthesis.validation.styles import style_support
from service.synthesis.work import Timings

# The least that a float32 can say of a variance; more would only overflow on the way to what is cut off.
_MAX_LOG_VARIANCE = 80.0


@dataclass(frozen=True, slots=True)
class EncodedStyles:
    """The styles of one image.

    Attributes:
        codes: One for each style, ordered by class.
        timings: The time it took.
    """

    codes: tuple[StyleCode, ...]
    timings: Timings


class EncodeStylesWork:
    """Reads the styles of one image.

    Args:
        request: What is asked for.
        model: Its model.
        limits: Bounds of what is decoded and of a code.

    Raises:
        InvalidArgument: The model has no styles.
    """

    images = 1
    images_field = ""
    labels = None

    def __init__(self, request: EncodeStylesRequest, model: Model, limits: Limits = LIMITS) -> None:
        self._request = request
        self._model = model
        self._support = style_support(model)
        self._limits = limits
        self._image = self._label_map = np.zeros((0, 0), np.uint8)
        self._decode_seconds = 0.0

    @property
    def model(self) -> str:
        """The model, by the name that callers use."""
        return self._model.name

    @property
    def model_version(self) -> str:
        """Its version."""
        return self._model.version

    @property
    def served_by(self) -> str:
        """The encoder: it takes another time than images do."""
        return self._support.encoder

    @property
    def priority(self) -> Priority:
        """Whether somebody waits."""
        return self._request.priority

    def prepare(self, timings: Timings) -> Task[None]:
        """Decode the image and its label map."""
        yield from ()
        began = time.perf_counter()
        self._image = decode_source_image(self._request.image, self._model, self._limits)
        label_map = decode_label_map(self._request.label_map, self._model, self._limits)
        condition = self._model.conditions[ConditionKind.LABEL_MAP]
        if label_map.shape != (condition.height, condition.width):
            found = f"{label_map.shape[1]} x {label_map.shape[0]} pixels"
            allowed = f"exactly {condition.width} x {condition.height} pixels, to fit the image"
            raise InvalidArgument("label_map", found, allowed)
        self._label_map = np.ascontiguousarray(label_map)
        self._decode_seconds = time.perf_counter() - began

    def produce(self, index: int, timings: Timings) -> Task[EncodedStyles]:
        """Run the encoder."""
        inputs = {
            tensors.PICTURE: self._image[np.newaxis],
            tensors.LABEL_MAP: self._label_map[np.newaxis],
        }
        outputs = (tensors.STYLE_MEAN, tensors.STYLE_LOG_VARIANCE)
        result = yield Inference(self.served_by, inputs, outputs)
        mean, log_variance = (result.outputs[name][0] for name in outputs)
        values = _values(mean, log_variance, self._request.sample_seed, self._support, self._limits)
        timings.decode = self._decode_seconds
        timings.stages += result.timings
        return EncodedStyles(_codes(values, self._label_map, self._model, self._support), timings)


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
