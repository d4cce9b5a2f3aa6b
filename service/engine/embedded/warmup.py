"""Runs the warm-up requests of the configs, so that an engine that is ready is warm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from service.core.diagnostics import Diagnostics
from service.core.errors import MaskweaveError
from service.engine.base import Array
from service.engine.cancellation import CancelToken
from service.engine.embedded.execution import Execution
from service.engine.embedded.loading import LoadedModel
from service.engine.embedded.model_config import ModelConfig, WarmupSample

_SEED = 0


def warm_up(
    execution: Execution, models: Iterable[LoadedModel], diagnostics: Diagnostics, token: CancelToken
) -> None:
    """Run every warm-up request of every model on the calling thread, one after the other.

    What is wrong with a request, or fails, goes to `diagnostics`.
    """
    for model in models:
        for index, sample in enumerate(model.config.warmups):
            inputs = warm_up_inputs(model.config, sample, diagnostics)
            if inputs is None:
                continue
            try:
                for _ in range(sample.count):
                    execution.warm_up(model, inputs, token)
            except MaskweaveError as error:
                problem = f"{sample.name!r} failed: {error}"
                diagnostics.add(
                    model.config.file, f"model_warmup[{index}]", problem, "a request that succeeds"
                )


def warm_up_inputs(
    config: ModelConfig, sample: WarmupSample, diagnostics: Diagnostics
) -> dict[str, Array] | None:
    """The arrays of one warm-up request.

    Returns:
        An array per input, or None when a data file is missing or of the wrong size, which
        goes to `diagnostics`.
    """
    arrays: dict[str, Array | None] = {}
    for item in sample.inputs:
        name, dtype = item.spec.name, item.spec.dtype
        shape = (sample.batch_size, *item.spec.shape) if config.max_batch_size else item.spec.shape
        if item.file is not None:
            arrays[name] = _read(item.file, shape, dtype, diagnostics)
        elif item.source == "zero":
            arrays[name] = np.zeros(shape, dtype)
        else:
            arrays[name] = _random(shape, dtype)
    complete = {name: array for name, array in arrays.items() if array is not None}
    return complete if len(complete) == len(arrays) else None


def _read(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any], diagnostics: Diagnostics) -> Array | None:
    expected = math.prod(shape) * dtype.itemsize
    allowed = f"{expected} bytes of raw data, {dtype} {list(shape)}"
    try:
        data = file.read_bytes()
    except OSError as error:
        diagnostics.add(file, "", f"cannot be read: {error.strerror}", allowed)
        return None
    if len(data) != expected:
        diagnostics.add(file, "", f"holds {len(data)} bytes", allowed)
        return None
    return np.frombuffer(data, dtype).reshape(shape)


def _random(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Values anywhere in the range of an integer type, in [0, 1) for floats; always the same."""
    random = np.random.default_rng(_SEED)
    if dtype.kind == "f":
        return random.random(shape).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return random.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
