"""What an engine is: it runs a named model on arrays, and tasks that ask for such runs.

The gateway is written against this interface only, so that the embedded engine and a remote
inference server are interchangeable.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.core.trace import NO_TRACE, Trace

Array = NDArray[Any]
"""A tensor: C-contiguous, with a leading batch dimension when the model's `max_batch_size` > 0."""

ANY_SIZE = -1
"""A dimension of a `TensorSpec` that accepts any size."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, type and shape of one input or output.

    Attributes:
        name: The tensor's name, UPPER_SNAKE by convention.
        dtype: NumPy dtype of the arrays.
        shape: Size of each dimension without the batch dimension; `ANY_SIZE` accepts any.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a ready model is and how to call it.

    Attributes:
        name: Name in the model repository.
        version: Version that `Engine.run` runs (the newest one loaded).
        max_batch_size: Largest leading batch dimension; 0 when arrays have no batch dimension.
        inputs: Every input; all are required.
        outputs: Every output.
        parameters: The `parameters` of the model's config, as strings.
        steps: Names of an ensemble's step models in the order in which they run; empty for a
            single model.
    """

    name: str
    version: int
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: Mapping[str, str]
    steps: tuple[str, ...]


class StageTiming(NamedTuple):
    """How long one stage took for one request.

    Attributes:
        model: The stage, by its name in the model repository.
        queue_seconds: Time it waited for an instance of its model once its inputs were there or, for a cached
            stage, until the answer was found.
        compute_seconds: Time it ran; 0 when cached.
        cached: Whether the answer came from the response cache, or from an identical request
            that was already running.
        began: `time.perf_counter()` when its inputs were there; 0 when that is not known.
    """

    model: str
    queue_seconds: float
    compute_seconds: float
    cached: bool
    began: float = 0.0


class InferenceResult(NamedTuple):
    """The outputs of one inference.

    Attributes:
        outputs: Arrays by output name. They may be shared with other requests through the
            response cache and are therefore read-only.
        timings: One entry per stage, in the order in which they began.
    """

    outputs: Mapping[str, Array]
    timings: tuple[StageTiming, ...]


class Inference(NamedTuple):
    """One run of a model that a task asks for.

    Attributes:
        model: Name in the repository.
        inputs: One array per input of the model.
        outputs: Names of the outputs wanted, at least one.
    """

    model: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]


T = TypeVar("T")

Task = Generator[Inference, InferenceResult, T]
"""The work of one image, written down in order: what it computes itself (decoding, drawing, encoding), and
the inferences it waits for, which it yields. It never touches the event loop: an engine runs it on a worker
thread."""


class Priority(IntEnum):
    """Who waits for an answer. The values are Triton's priority levels, of which the smaller goes first."""

    INTERACTIVE = 1
    BATCH = 2


@dataclass(frozen=True, slots=True)
class InferenceContext:
    """What a call carries along besides its tensors.

    Attributes:
        request_id: Identifies the request in logs.
        timeout: Seconds it may take; None for no limit.
        priority: Which of the calls that wait goes first.
        trace: The trace that it is part of.
    """

    request_id: str = ""
    timeout: float | None = None
    priority: Priority = Priority.INTERACTIVE
    trace: Trace = NO_TRACE


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """A cache of outputs at one moment; counts are since its start.

    Attributes:
        entries: How many are kept.
        nbytes: Their bytes.
        capacity_bytes: The most bytes that are kept.
        lookups: How often outputs were looked for, by model.
        hits: How often they were there, by model.
    """

    entries: int = 0
    nbytes: int = 0
    capacity_bytes: int = 0
    lookups: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """An engine at one moment; counts are since its start.

    Attributes:
        runtime: What runs the models, by its name.
        runtime_version: Its version; empty when unknown.
        precision: What it computes in; empty when unknown.
        why: Why this runtime and precision, in words; empty when there was nothing to choose.
        candidates: Time that the models took at the start with each that was measured, by runtime and
            precision.
        workers: Worker threads.
        busy: Those that work.
        waiting: Tasks that wait for one.
        busy_seconds: Time that all of them have worked.
        cache: Its response cache.
        load_seconds: Time that each model took to load, by name and version.
    """

    runtime: str = ""
    runtime_version: str = ""
    precision: str = ""
    why: str = ""
    candidates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    workers: int = 0
    busy: int = 0
    waiting: int = 0
    busy_seconds: float = 0.0
    cache: CacheStatistics = field(default_factory=CacheStatistics)
    load_seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)


CLOSE_SECONDS = 5.0
"""How long the work in progress may go on by default when an engine is closed."""

ReadinessListener = Callable[[bool], None]
"""Is told, on the event loop, whether the engine can answer."""


class Engine(Protocol):
    """Runs the models of one repository. Used from one event loop."""

    async def start(self) -> None:
        """Bring every model up; afterwards the engine can answer.

        Raises:
            RepositoryError: The repository cannot be served; names every problem found.
            Unavailable: The engine cannot be reached.
        """
        ...

    def watch(self, listener: ReadinessListener) -> None:
        """Tell `listener` when the engine has started, and whenever it becomes unable or able to answer."""
        ...

    async def close(self, grace_seconds: float = CLOSE_SECONDS) -> None:
        """Refuse new work, give running work time to end, free the models. Safe to call twice.

        Args:
            grace_seconds: What runs on after so long is cancelled, and its callers get `Unavailable`. A
                thread in the middle of something that nothing interrupts is left behind: end the process
                with `service.engine.workers.exit_process`.
        """
        ...

    def models(self) -> Mapping[str, ModelInfo]:
        """The models that are ready, by name; empty before `start` and after `close`."""
        ...

    def statistics(self) -> EngineStatistics:
        """What it does at the moment; after `close`, what it did last."""
        ...

    async def run(self, task: Task[T], context: InferenceContext = InferenceContext()) -> T:
        """Run a task to its end on a worker thread and give what it returns.

        An engine in this process runs the inferences on that same thread; one behind a network sends them
        from the event loop in between. What an inference raises is raised inside the task at its `yield`.
        Cancelling the call, and its deadline, end it at once. A task that has not begun never begins; one
        that has is closed (`GeneratorExit`) at its next `yield` or between two stages, without anybody
        waiting for it.
        What is logged on the thread carries the request id.

        Args:
            task: Not yet begun.
            context: Deadline, priority and the like, for all inferences together.

        Raises:
            InvalidArgument: Whatever the task raises; so for every failure of its own.
            DeadlineExceeded: The context's timeout passed.
            Overloaded: The engine has no room for more.
            Unavailable: The engine is not running or out of reach.
            EngineFailure: A model failed, does not exist, or was given inputs that it does not take.
        """
        ...


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
