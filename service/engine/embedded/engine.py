"""The embedded engine itself.

It serves a Triton model repository as it is on disk. See `model_config.py` for what it makes of each field of
a config. A task runs from its beginning to its end on one worker thread, and so do the models it asks for: an
ensemble is a list of stages that run one after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from service.core.errors import Unavailable
from service.core.logging import set_request_id
from service.engine.base import (
    CLOSE_SECONDS,
    EngineStatistics,
    Inference,
    InferenceContext,
    InferenceResult,
    ModelInfo,
    ReadinessListener,
    Task,
    advance,
)
from service.engine.cancellation import CancelToken, Stopped
from service.engine.embedded.execution import Execution
from service.engine.embedded.runtime import Allowed
from service.engine.embedded.starting import Starting
from service.engine.workers import Workers

_log = logging.getLogger(__name__)

T = TypeVar("T")

_DEFAULT = Allowed()


class EmbeddedEngine:
    """An `Engine` without a server behind it. Belongs to the event loop that starts it.

    Args:
        repository: The model repository on disk.
        threads: Tasks that run at the same time, and CPUs that one of them may use when it is alone.
        cache_bytes: Bound of the response cache, for the models whose config enables it.
        allowed: What may run the models; of several things, the fastest does.
    """

    def __init__(
        self, repository: Path, *, threads: int, cache_bytes: int, allowed: Allowed = _DEFAULT
    ) -> None:
        self._repository = repository
        self._threads = threads
        self._cache_bytes = cache_bytes
        self._allowed = allowed
        self._workers: Workers | None = None
        self._execution: Execution | None = None
        self._infos: Mapping[str, ModelInfo] = MappingProxyType({})
        self._listeners: list[ReadinessListener] = []
        self._latest = EngineStatistics()

    async def start(self) -> None:
        """Load and warm up every model.

        Raises:
            RepositoryError: The repository cannot be served; names every problem found.
            ConfigurationError: Nothing of what is allowed can run it here; says why.
        """
        began = time.perf_counter()
        workers = Workers(self._threads, "engine")
        # At least two CPUs are there for each task, so that a stage gains from sharing its operators.
        alone = partial(workers.at_most, max(self._threads // 2, 1))
        try:
            starting = Starting(workers, self._threads, self._cache_bytes, alone)
            started = await starting.start(self._repository, self._allowed)
        except BaseException as error:
            # Who gives up the start does not wait for a large file to be read.
            await workers.close(CLOSE_SECONDS if isinstance(error, Exception) else 0.0)
            raise
        self._workers, self._execution = workers, started.execution
        self._infos = MappingProxyType(started.execution.infos)
        runtime = started.runtime
        self._latest = EngineStatistics(
            runtime.title,
            runtime.version,
            precision=runtime.precision,
            why=started.why,
            candidates={(name, precision): each for (name, precision), each in started.seconds.items()},
            load_seconds={
                key: each.load_seconds for key, each in started.models.items() if each.load_seconds
            },
        )
        facts = {
            "models": len(self._infos),
            "seconds": round(time.perf_counter() - began, 3),
            "runtime": runtime.name,
            "runtime_version": runtime.version,
            "precision": runtime.precision,
            "why": started.why,
        }
        _log.info("engine ready", extra=facts)
        for listener in self._listeners:
            listener(True)

    def watch(self, listener: ReadinessListener) -> None:
        """Tell `listener` when the engine has started and when it is closed: in between it can answer."""
        self._listeners.append(listener)

    async def close(self, grace_seconds: float = CLOSE_SECONDS) -> None:
        """Refuse new work, give running work time to end, free the models; see `Engine.close`."""
        self._latest = self.statistics()
        workers, self._workers = self._workers, None
        execution, self._execution = self._execution, None
        self._infos = MappingProxyType({})
        if workers is None or execution is None:
            return
        for listener in self._listeners:
            listener(False)
        if not await workers.close(grace_seconds, execution.interrupt):
            _log.warning("worker threads run on after the engine was closed")

    def models(self) -> Mapping[str, ModelInfo]:
        """The models that are ready, by name; empty before `start` and after `close`."""
        return self._infos

    def statistics(self) -> EngineStatistics:
        """What it does at the moment; see `Engine.statistics`."""
        workers, execution = self._workers, self._execution
        if workers is None or execution is None:
            return self._latest
        return replace(
            self._latest,
            workers=self._threads,
            busy=workers.running,
            waiting=workers.waiting,
            busy_seconds=workers.busy_seconds,
            cache=execution.cache_statistics(),
        )

    async def run(self, task: Task[T], context: InferenceContext = InferenceContext()) -> T:  # noqa: B008 - frozen
        """Run a task to its end on one worker thread; see `Engine.run`."""
        if self._workers is None or self._execution is None:
            raise Unavailable("The engine is not running.")
        work = partial(_drive, self._execution, task, context.request_id)
        return await self._workers.run(work, priority=context.priority, timeout=context.timeout)


def _drive(execution: Execution, task: Task[T], request_id: str, token: CancelToken) -> T:
    """On a worker thread, in a context of its own: a task and all its inferences."""
    if request_id:
        set_request_id(request_id)
    step = advance(task)
    while isinstance(step, Inference):
        outcome: InferenceResult | Exception
        try:
            try:
                outcome = execution.run(step, token)
            except Exception as error:
                outcome = error
            token.check()  # before the failure: it may be that of a model that was interrupted
        except Stopped:
            task.close()
            raise
        step = advance(task, outcome)
    return step.value
