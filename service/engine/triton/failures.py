"""What Triton says when a call fails, as failures of this service: the one table.

Triton reports a full queue, an expired queue timeout, a model that is not loaded and a server that is going
down with the same status, UNAVAILABLE; only the words tell them apart. They are those of
triton-inference-server/core and server, 2.51 to 2.60 (`src/dynamic_batch_scheduler.cc`,
`src/model_repository_manager`, `src/ensemble_scheduler`, `src/infer_request.cc`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tritonclient.utils import InferenceServerException

from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    EngineUnreachable,
    MaskweaveError,
    ModelNotReady,
    Overloaded,
)

LEAST_RETRY_SECONDS = 0.05
"""The soonest that a refused caller is asked to come back."""


class _Rule(NamedTuple):
    status: str
    words: re.Pattern[str]
    failure: Callable[[str, str, float], MaskweaveError]


def _overloaded(model: str, _: str, retry_after: float) -> MaskweaveError:
    return Overloaded(f"The queue of {model} is full.", retry_after_seconds=retry_after, cause="engine")


def _too_late(model: str, _: str, __: float) -> MaskweaveError:
    return DeadlineExceeded(f"{model}: the deadline passed before it was done.")


def _not_ready(model: str, _: str, retry_after: float) -> MaskweaveError:
    return ModelNotReady(f"{model} is not ready on the inference server.", retry_after_seconds=retry_after)


def _unreachable(_: str, __: str, retry_after: float) -> MaskweaveError:
    return EngineUnreachable("The inference server cannot be reached.", retry_after_seconds=retry_after)


def _failed(model: str, message: str, _: float) -> MaskweaveError:
    return EngineFailure(f"{model} failed on the inference server: {message}")


def _rule(status: str, words: str, failure: Callable[[str, str, float], MaskweaveError]) -> _Rule:
    return _Rule(status, re.compile(words, re.IGNORECASE | re.DOTALL), failure)


# The first that fits decides. `status` is a prefix of what tritonclient calls the status.
_RULES = (
    _rule("", r"exceeds maximum queue size", _overloaded),
    _rule("", r"request timeout expired", _too_late),
    _rule("StatusCode.DEADLINE_EXCEEDED", r"", _too_late),
    _rule("", r"unknown model|is not ready|not at ready state|no available versions", _not_ready),
    _rule("StatusCode.NOT_FOUND", r"", _not_ready),
    _rule("StatusCode.UNAVAILABLE", r"", _unreachable),
    # Not by us: a cancelled call of ours raises CancelledError. A server that goes down cancels what it has.
    _rule("StatusCode.CANCELLED", r"", _unreachable),
    _rule("", r"", _failed),
)


def failure_of(error: InferenceServerException, model: str, latest_seconds: float) -> MaskweaveError:
    """Say what a failed call means.

    Args:
        error: As tritonclient raises it.
        model: The model that was called.
        latest_seconds: How long the latest call that succeeded took: about when room can be expected.
    """
    status, message = error.status() or "", error.message() or ""
    retry_after = max(LEAST_RETRY_SECONDS, latest_seconds)
    rule = next(rule for rule in _RULES if status.startswith(rule.status) and rule.words.search(message))
    return rule.failure(model, message, retry_after)
