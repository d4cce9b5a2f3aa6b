"""An engine without models, for tests of what stands above engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from service.core.errors import DeadlineExceeded
from service.engine.base import (
    Array,
    EngineStatistics,
    Finished,
    Inference,
    InferenceContext,
    InferenceResult,
    ModelInfo,
    ReadinessListener,
    StageTiming,
    Task,
    TensorSpec,
    advance,
)
from service.engine.tensors import check_inputs

T = TypeVar("T")

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
"""What edits images of the ensemble's pack."""
LABEL_READER = ModelInfo(
    name="tiny_label_reader",
    version=1,
    max_batch_size=4,
    inputs=(TensorSpec("PICTURE", UINT8, (2, 2, 3)),),
    outputs=(TensorSpec("LABEL_MAP", UINT8, (2, 2)),),
    parameters={"maskweave.reads_labels": "tiny"},
    steps=(),
)
OWN = replace(
    LABEL_READER,
    name="tiny_own",
    inputs=(TensorSpec("LATENT", FLOAT32, (3,)),),
    outputs=(TensorSpec("IMAGE", UINT8, (2, 2, 3)), *LABEL_READER.outputs),
    steps=("stage",),
)
"""What reads label maps: off images, and off those that it makes of latents."""
WITH_STYLES = (STYLED, ENCODER, PRIOR)
"""The ensemble with styles and what stands beside it."""


def with_parameters(info: ModelInfo = ENSEMBLE, **changed: str | None) -> ModelInfo:
    """The ensemble with other `maskweave.*` parameters; None takes one away."""
    parameters = {**info.parameters, **{f"maskweave.{key}": value for key, value in changed.items()}}
    return replace(info, parameters={key: value for key, value in parameters.items() if value is not None})


Behaviour = Callable[[Mapping[str, Array]], Awaitable[None]]


class FakeEngine:
    """Gives images whose pixels are all the latent's first number, after `behaviour` has run, and else 1s.

    A label map that it reads is blank.

    Inputs are checked as by other engines; those of styles must also be finite.

    Args:
        behaviour: Awaited on the event loop in every inference.
        infos: The models.
        executor: Where tasks compute; on the event loop itself when None, so that a test can count its turns.

    Attributes:
        running: Tasks in progress.
        most_running: The most there were.
        contexts: That of every inference.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        infos: Sequence[ModelInfo] = (ENSEMBLE,),
        executor: Executor | None = None,
    ) -> None:
        self._behaviour = behaviour
        self._infos = {info.name: info for info in infos}
        self._executor = executor
        self.running = 0
        self.most_running = 0
        self.contexts: list[InferenceContext] = []

    async def start(self) -> None:
        """Nothing to load."""

    def watch(self, listener: ReadinessListener) -> None:
        """Never tells anything."""

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Nothing to free."""

    def models(self) -> Mapping[str, ModelInfo]:
        """The ensembles."""
        return self._infos

    def statistics(self) -> EngineStatistics:
        """Nothing."""
        return EngineStatistics("Fake")

    async def run(self, task: Task[T], context: InferenceContext = InferenceContext()) -> T:  # noqa: B008 - frozen
        """Run a task; it is closed when the call is cancelled or late."""
        if context.timeout is not None and context.timeout <= 0:
            raise DeadlineExceeded("The deadline had passed before the work began.")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        outcome: InferenceResult | Exception | None = None
        try:
            async with asyncio.timeout(context.timeout):
                while isinstance(step := await self._segment(task, outcome), Inference):
                    try:
                        outcome = await self._answer(step, context)
                    except Exception as error:
                        outcome = error
                return step.value
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed before the work was done.") from None
        finally:
            task.close()
            self.running -= 1

    async def _segment(
        self, task: Task[T], outcome: InferenceResult | Exception | None
    ) -> Inference | Finished[T]:
        if self._executor is None:
            return advance(task, outcome)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, advance, task, outcome)

    async def _answer(self, inference: Inference, context: InferenceContext) -> InferenceResult:
        info, inputs = self._infos[inference.model], inference.inputs
        assert set(inference.outputs) == {spec.name for spec in info.outputs}
        check_inputs(info, inputs)
        assert np.isfinite(inputs.get("GIVEN_STYLES", np.zeros(1))).all()
        self.contexts.append(context)
        await asyncio.sleep(0)
        if self._behaviour:
            await self._behaviour(inputs)
        first = 1.0
        if "IMAGE" in inference.outputs and "LATENT" in inputs:
            first = np.clip(inputs["LATENT"][0, 0], 0, 255)
        arrays = {
            spec.name: np.full((1, *spec.shape), 0.0 if spec.name == "LABEL_MAP" else first, spec.dtype)
            for spec in info.outputs
        }
        return InferenceResult(arrays, (StageTiming(f"{info.name}_stage", 0.001, 0.002, False),))
