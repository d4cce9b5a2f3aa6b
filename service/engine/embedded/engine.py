"""The embedded engine itself.

It serves a Triton model repository as it is on disk. See `supported.py` for what it makes of each
field of a config, and `workers.py` for the order in which it works.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from service.core.errors import (
    DeadlineExceeded,
    MaskweaveError,
    NotFound,
    Unavailable,
)
from service.core.logging import current_request_id, request_context
from service.engine.base import Array, InferenceContext, InferenceResult, ModelInfo, ReadinessListener
from service.engine.embedded.age import Age
from service.engine.embedded.execution import Execution, Stage
from service.engine.embedded.loading import LoadedModel, load_models
from service.engine.embedded.warmup import warmup_inputs
from service.engine.findings import Findings
from service.engine.in_flight import InFlight
from service.engine.tensors import check_inputs, wanted_outputs

_log = logging.getLogger(__name__)


class EmbeddedEngine:
    """An `Engine` without a server behind it. Belongs to the event loop that starts it.

    Args:
        repository: The model repository on disk.
        threads: Models that run at the same time; also the threads of one operator for models
            whose config does not say.
        cache_bytes: Bound of the response cache, for the models whose config enables it.
    """

    def __init__(self, repository: Path, *, threads: int, cache_bytes: int) -> None:
        self._repository = repository
        self._threads = threads
        self._cache_bytes = cache_bytes
        self._execution: Execution | None = None
        self._ready: Mapping[str, LoadedModel] = {}
        self._infos: Mapping[str, ModelInfo] = MappingProxyType({})
        self._numbers = itertools.count(1)
        self._in_flight = InFlight()
        self._listeners: list[ReadinessListener] = []

    async def start(self) -> None:
        """Load and warm up every model.

        Raises:
            RepositoryError: The repository cannot be served; names every problem found.
        """
        began = time.perf_counter()
        loaded = await load_models(self._repository, self._threads)
        execution = Execution(loaded, self._threads, self._cache_bytes)
        try:
            findings = Findings()
            for model in loaded.values():
                await _warm_up(execution, model, findings)
            findings.raise_if_any()
        except BaseException:
            await execution.close()
            raise
        newest = {name: max(version for other, version in loaded if other == name) for name, _ in loaded}
        self._ready = {name: loaded[name, version] for name, version in newest.items()}
        self._infos = MappingProxyType({name: model.info for name, model in self._ready.items()})
        self._execution = execution
        seconds = round(time.perf_counter() - began, 3)
        _log.info("engine ready", extra={"models": len(self._ready), "seconds": seconds})
        for listener in self._listeners:
            listener(True)

    def watch(self, listener: ReadinessListener) -> None:
        """Tell `listener` when the engine has started and when it is closed: in between it can answer."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Refuse new work, wait for running work, free the models. Safe to call twice."""
        execution, self._execution = self._execution, None
        self._infos = MappingProxyType({})
        if execution is not None:
            for listener in self._listeners:
                listener(False)
        await self._in_flight.drained()
        if execution is not None:
            await execution.close()
        self._ready = {}

    def models(self) -> Mapping[str, ModelInfo]:
        """The models that are ready, by name; empty before `start` and after `close`."""
        return self._infos

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] | None = None,
        context: InferenceContext = InferenceContext(),  # noqa: B008 - frozen
    ) -> InferenceResult:
        """Run the newest version of a model; see `Engine.infer`."""
        if self._execution is None:
            raise Unavailable("The engine is not running.")
        loaded = self._ready.get(model)
        if loaded is None:
            raise NotFound("model", model, self._ready)
        wanted = wanted_outputs(loaded.info, outputs)
        check_inputs(loaded.info, inputs)
        timeout = context.timeout
        if timeout is not None and timeout <= 0:
            raise DeadlineExceeded(f"{model}: the deadline had passed before it began.")
        stages: list[Stage] = []
        age = Age(context.priority, next(self._numbers))
        try:
            with self._in_flight, request_context(context.request_id or current_request_id()):
                async with asyncio.timeout(timeout):
                    answer = await self._execution.run(loaded, inputs, wanted, age, stages)
                _log.debug("inference done", extra={"model": model, "stages": len(stages)})
        except TimeoutError:
            raise DeadlineExceeded(f"{model}: not done within {timeout:.3f} s.") from None
        timings = tuple(stage.timing for stage in sorted(stages, key=_began))
        return InferenceResult({name: answer[name] for name in wanted}, timings)


async def _warm_up(execution: Execution, model: LoadedModel, findings: Findings) -> None:
    for index, sample in enumerate(model.config.warmups):
        inputs = warmup_inputs(model.config, sample, findings)
        if inputs is None:
            continue
        try:
            check_inputs(model.info, inputs)
            for _ in range(sample.count):
                await execution.warm_up(model, inputs)
        except MaskweaveError as error:
            problem = f"{sample.name!r} failed: {error}"
            findings.add(model.config.file, f"model_warmup[{index}]", problem, "a request that succeeds")


def _began(stage: Stage) -> float:
    return stage.arrived + stage.timing.queue_seconds
