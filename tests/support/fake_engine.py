"""An engine without models, for tests of what stands above engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from service.engine.base import (
    Array,
    InferenceContext,
    InferenceResult,
    ModelInfo,
    ReadinessListener,
    StageTiming,
    TensorSpec,
)
from service.engine.tensors import check_inputs

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)

PALETTE = [{"id": 0, "name": "background", "color": "#000000"}, {"id": 4, "name": "hair", "color": "#ff0000"}]

ENSEMBLE = ModelInfo(
    name="tiny_label_map",
    version=1,
    max_batch_size=4,
    inputs=(
        TensorSpec("LABEL_MAP", UINT8, (2, 2)),
        TensorSpec("LATENT", FLOAT32, (3,)),
        TensorSpec("STYLE_STRENGTH", FLOAT32, (1,)),
    ),
    outputs=(TensorSpec("IMAGE", UINT8, (2, 2, 3)),),
    parameters={
        "maskweave.pack": "tiny",
        "maskweave.method": "sis-ug",
        "maskweave.condition": "label_map",
        "maskweave.title": "Tiny",
        "maskweave.description": "Four pixels.",
        "maskweave.palette": json.dumps(PALETTE),
        "maskweave.latent_scale": "0.5",
        "maskweave.style_strength": '{"default": 0.25, "min": 0.0, "max": 0.9}',
        "maskweave.model_version": "1.0.0",
    },
    steps=("stage",),
)
"""An ensemble as the engine describes it."""


def _other(kind: str, inputs: tuple[TensorSpec, ...], **parameters: str) -> ModelInfo:
    kept = {
        key: value
        for key, value in ENSEMBLE.parameters.items()
        if key != "maskweave.style_strength" or ENSEMBLE.inputs[2] in inputs
    }
    kept["maskweave.condition"] = kind
    kept |= {f"maskweave.{key}": value for key, value in parameters.items()}
    return replace(ENSEMBLE, name=f"tiny_{kind}", inputs=inputs, parameters=kept)


SKETCH = _other("sketch", (TensorSpec("SKETCH", UINT8, (2, 2)), *ENSEMBLE.inputs[1:]))
SCRIBBLE = _other("scribble", (TensorSpec("SCRIBBLE", UINT8, (2, 2)), *ENSEMBLE.inputs[1:]))
PROXY_MASK = _other(
    "proxy_mask",
    (TensorSpec("TARGET_PROXY_MASK", UINT8, (2, 3)), ENSEMBLE.inputs[1]),
    proxy_clusters="5",
)
EXEMPLAR = _other("exemplar", (TensorSpec("PICTURE", UINT8, (2, 2, 3)), ENSEMBLE.inputs[1]))
OTHER_CONDITIONS = (SKETCH, SCRIBBLE, PROXY_MASK, EXEMPLAR)
"""The ensembles of the same pack for every other kind of condition."""

CODES = (2, 3)
STYLED = ModelInfo(
    name="dolls_label_map",
    version=1,
    max_batch_size=4,
    inputs=(
        TensorSpec("LABEL_MAP", UINT8, (2, 2)),
        TensorSpec("LATENT", FLOAT32, (6,)),
        TensorSpec("GIVEN_STYLES", FLOAT32, CODES),
        TensorSpec("STYLE_GIVEN", UINT8, (2,)),
    ),
    outputs=(TensorSpec("IMAGE", UINT8, (2, 2, 3)),),
    parameters={
        **ENSEMBLE.parameters,
        "maskweave.pack": "dolls",
        "maskweave.method": "groupdnet",
        "maskweave.style_encoder": "dolls_encoder",
        "maskweave.style_prior": "dolls_prior",
        "maskweave.style_classes": "0,1",
        "maskweave.style_size": "3",
    },
    steps=("stage",),
)
"""An ensemble with styles."""

ENCODER = ModelInfo(
    name="dolls_encoder",
    version=1,
    max_batch_size=4,
    inputs=(TensorSpec("PICTURE", UINT8, (2, 2, 3)), TensorSpec("LABEL_MAP", UINT8, (2, 2))),
    outputs=(TensorSpec("STYLE_MEAN", FLOAT32, CODES), TensorSpec("STYLE_LOG_VARIANCE", FLOAT32, CODES)),
    parameters={},
    steps=(),
)
PRIOR = ModelInfo(
    name="dolls_prior",
    version=1,
    max_batch_size=4,
    inputs=(TensorSpec("LATENT", FLOAT32, (6,)),),
    outputs=(TensorSpec("JOINT_STYLES", FLOAT32, CODES), TensorSpec("SINGLE_STYLES", FLOAT32, CODES)),
    parameters={},
    steps=(),
)
EDITOR = ModelInfo(
    name="tiny_edit",
    version=1,
    max_batch_size=4,
    inputs=(
        TensorSpec("PICTURE", UINT8, (2, 2, 3)),
        TensorSpec("LABEL_MAP", UINT8, (2, 2)),
        TensorSpec("STYLE_STRENGTH", FLOAT32, (1,)),
    ),
    outputs=(TensorSpec("IMAGE", UINT8, (2, 2, 3)),),
    parameters={"maskweave.edits": "tiny"},
    steps=("stage",),
)
"""What edits pictures of the ensemble's pack."""
WITH_STYLES = (STYLED, ENCODER, PRIOR)
"""The ensemble with styles and what stands beside it."""


def with_parameters(info: ModelInfo = ENSEMBLE, **changed: str | None) -> ModelInfo:
    """The ensemble with other `maskweave.*` parameters; None takes one away."""
    parameters = {**info.parameters, **{f"maskweave.{key}": value for key, value in changed.items()}}
    return replace(info, parameters={key: value for key, value in parameters.items() if value is not None})


Behaviour = Callable[[Mapping[str, Array]], Awaitable[None]]


class FakeEngine:
    """Gives pictures whose pixels are all the latent's first number, after `behaviour` has run, and else 1s.

    Inputs are checked as by other engines; those of styles must also be finite.
    """

    def __init__(self, behaviour: Behaviour | None = None, infos: Sequence[ModelInfo] = (ENSEMBLE,)) -> None:
        self._behaviour = behaviour
        self._infos = {info.name: info for info in infos}
        self.running = 0
        self.most_running = 0
        self.contexts: list[InferenceContext] = []

    async def start(self) -> None:
        """Nothing to load."""

    def watch(self, listener: ReadinessListener) -> None:
        """Never tells anything."""

    async def close(self) -> None:
        """Nothing to free."""

    def models(self) -> Mapping[str, ModelInfo]:
        """The ensembles."""
        return self._infos

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] | None = None,
        context: InferenceContext = InferenceContext(),  # noqa: B008 - frozen
    ) -> InferenceResult:
        """Run the behaviour and answer."""
        info = self._infos[model]
        assert outputs == [spec.name for spec in info.outputs]
        check_inputs(info, inputs)
        assert np.isfinite(inputs.get("GIVEN_STYLES", np.zeros(1))).all()
        self.contexts.append(context)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self._behaviour:
                await self._behaviour(inputs)
        finally:
            self.running -= 1
        first = np.clip(inputs["LATENT"][0, 0], 0, 255) if "IMAGE" in outputs and "LATENT" in inputs else 1
        arrays = {spec.name: np.full((1, *spec.shape), first, spec.dtype) for spec in info.outputs}
        return InferenceResult(arrays, (StageTiming(f"{model}_stage", 0.001, 0.002, False),))
