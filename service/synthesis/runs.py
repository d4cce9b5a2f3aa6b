"""One run of one model for a request: within its deadline, with its id, priority and trace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from service.core.errors import DeadlineExceeded
from service.engine.base import Array, Engine, InferenceContext, InferenceResult, Priority
from service.synthesis.request import Origin


async def run_model(
    engine: Engine,
    model: str,
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    origin: Origin,
    priority: int,
) -> InferenceResult:
    """Run a model of the repository.

    Raises:
        DeadlineExceeded: The deadline passed.
        Overloaded: The engine has no room for more.
        Unavailable: The engine is not running or out of reach.
        EngineFailure: A stage failed.
    """
    remaining = origin.seconds_left
    if remaining <= 0:
        raise DeadlineExceeded("The deadline passed before the models could run.")
    return await engine.infer(
        model,
        inputs,
        outputs=outputs,
        context=InferenceContext(
            request_id=origin.request_id,
            timeout=None if math.isinf(remaining) else remaining,
            priority=Priority(priority),
            trace=origin.trace,
        ),
    )
