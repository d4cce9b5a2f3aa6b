"""From a repository on disk to warm models: checked, loaded with what serves them best, warmed up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from service.core.diagnostics import Diagnostics, RepositoryError
from service.engine.embedded.choice import is_worth_it, possible_runtimes, seconds_of
from service.engine.embedded.execution import Execution
from service.engine.embedded.loading import (
    CheckedRepository,
    LoadedModel,
    ModelKey,
    check_repository,
    load_models,
)
from service.engine.embedded.runtime import Allowed, Precision, Runtime, RuntimeName
from service.engine.embedded.warmup import warm_up
from service.engine.workers import Workers

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """Models that are ready, and what runs them.

    Attributes:
        models: The models.
        execution: Runs them.
        runtime: What runs them.
        why: Why that, in words.
        seconds: What the stages took with each candidate that was measured; empty where there was one.
    """

    models: Mapping[ModelKey, LoadedModel]
    execution: Execution
    runtime: Runtime
    why: str
    seconds: Mapping[tuple[RuntimeName, Precision], float] = field(default_factory=dict)


class Starting:
    """Brings the models of a repository up.

    Args:
        workers: The threads to do it on.
        threads: Threads of one operator when a config does not say.
        cache_bytes: Bound of the response cache.
        alone: Tells whether a stage may use all of the machine.
    """

    def __init__(self, workers: Workers, threads: int, cache_bytes: int, alone: Callable[[], bool]) -> None:
        self._workers = workers
        self._threads = threads
        self._cache_bytes = cache_bytes
        self._alone = alone

    async def start(self, root: Path, allowed: Allowed) -> Started:
        """Load the repository at `root` with what is allowed; of several things, with the fastest.

        Raises:
            RepositoryError: The repository cannot be served; names every problem found.
            ConfigurationError: Nothing of what is allowed can serve it here; says why.
        """
        checked = await self._workers.run(lambda _: check_repository(root))
        possible = await self._workers.run(lambda _: possible_runtimes(checked, allowed))
        for reason in possible.refused:
            _log.warning("runtime not possible", extra={"reason": reason})
        if len(possible.runtimes) == 1:
            why = "as set" if len(allowed.candidates) == 1 else "the only one possible of those allowed"
            return await self._with(checked, possible.runtimes[0], why)
        return await self._fastest(checked, possible.runtimes)

    async def _fastest(self, checked: CheckedRepository, runtimes: tuple[Runtime, ...]) -> Started:
        best: Started | None = None
        failure: RepositoryError | None = None
        seconds: dict[tuple[RuntimeName, Precision], float] = {}
        for runtime in runtimes:
            try:
                started = await self._with(checked, runtime, "")
            except RepositoryError as error:
                failure = failure or error
                _log.warning("runtime not possible", extra={"runtime": runtime.name, "reason": str(error)})
                continue
            key = runtime.name, runtime.precision
            seconds[key] = await self._workers.run(partial(seconds_of, list(started.models.values())))
            _log.info(
                "runtime measured",
                extra={"runtime": key[0], "precision": key[1], "seconds": round(seconds[key], 5)},
            )
            if best is None or is_worth_it(seconds[key], seconds[best.runtime.name, best.runtime.precision]):
                best = started
        if best is None:
            assert failure is not None
            raise failure
        why = f"the fastest of {len(seconds)}"
        return Started(best.models, best.execution, best.runtime, why, seconds)

    async def _with(self, checked: CheckedRepository, runtime: Runtime, why: str) -> Started:
        models = await load_models(checked, runtime, self._workers, self._threads)
        execution = Execution(models, runtime.interrupt, self._cache_bytes, self._alone)
        diagnostics = Diagnostics()
        await self._workers.run(partial(warm_up, execution, models.values(), diagnostics))
        diagnostics.raise_if_any()
        return Started(models, execution, runtime, why)
