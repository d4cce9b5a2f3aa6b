"""Moves a task from one inference to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from service.engine.base import Inference, InferenceResult, Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """The end of a task, with what it returned."""

    value: T


def advance(task: Task[T], outcome: InferenceResult | Exception | None = None) -> Inference | Finished[T]:
    """Run a task until it asks for an inference or ends.

    Args:
        task: At its beginning, or at the `yield` of an inference.
        outcome: What came of that inference: its result, or what it raised; None at the beginning.

    Raises:
        Exception: Whatever the task raises.
    """
    try:
        if outcome is None:
            return next(task)
        if isinstance(outcome, Exception):
            return task.throw(outcome)
        return task.send(outcome)
    except StopIteration as end:
        return Finished(end.value)


def single(inference: Inference) -> Task[InferenceResult]:
    """The task of one inference and nothing else."""
    return (yield inference)
