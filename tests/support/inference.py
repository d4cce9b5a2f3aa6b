"""One inference of an engine, for tests that want nothing around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.engine.base import Array, Engine, Inference, InferenceContext, InferenceResult
from service.engine.tasks import single


async def infer(
    engine: Engine,
    model: str,
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] | None = None,
    context: InferenceContext = InferenceContext(),  # noqa: B008 - frozen
) -> InferenceResult:
    """Run a model; all outputs are asked for when none are named."""
    info = engine.models().get(model)
    wanted = outputs if outputs is not None else [spec.name for spec in info.outputs] if info else ["OUT"]
    return await engine.run(single(Inference(model, inputs, tuple(wanted))), context)
