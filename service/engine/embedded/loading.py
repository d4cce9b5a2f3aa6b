"""From a repository on disk to models ready to run, with every problem found on the way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from service.core.diagnostics import Diagnostics
from service.engine.base import ModelInfo
from service.engine.cancellation import CancelToken
from service.engine.embedded.model_config import ModelConfig
from service.engine.embedded.repository import ModelEntry, Repository, read_repository
from service.engine.embedded.runtime import Runtime
from service.engine.embedded.session import Session
from service.engine.embedded.stages import EnsemblePlan, check_nesting, plan_ensemble
from service.engine.workers import Workers

_log = logging.getLogger(__name__)

ModelKey = tuple[str, int]
"""Name and version."""


@dataclass(frozen=True)
class LoadedModel:
    """One version of a model, ready to run.

    Attributes:
        config: Its config.
        version: Its version.
        info: What callers are told of it.
        runner: The session of an ONNX model, or the plan of an ensemble.
        load_seconds: Time it took to load.
    """

    config: ModelConfig
    version: int
    info: ModelInfo
    runner: Session | EnsemblePlan
    load_seconds: float = 0.0

    @cached_property
    def key(self) -> ModelKey:
        """Name and version."""
        return self.config.name, self.version

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Names of all outputs, in the order of the config."""
        return tuple(spec.name for spec in self.config.outputs)


@dataclass(frozen=True, slots=True)
class CheckedRepository:
    """A repository whose configs and graphs are in order; no model of it is loaded.

    Attributes:
        root: Where it is.
        repository: Its models.
        plans: Of its ensembles, by name.
    """

    root: Path
    repository: Repository
    plans: Mapping[str, EnsemblePlan]


def check_repository(root: Path) -> CheckedRepository:
    """Check what can be checked of the repository at `root` without loading a model.

    Raises:
        RepositoryError: Names every problem in the configs and the graphs.
    """
    diagnostics = Diagnostics()
    repository = read_repository(root, diagnostics)
    plans = {
        name: plan
        for name, entry in repository.entries.items()
        if entry.config.is_ensemble
        and (plan := plan_ensemble(entry.config, repository, diagnostics)) is not None
    }
    check_nesting(repository.entries, diagnostics)
    diagnostics.raise_if_any()
    return CheckedRepository(root, repository, plans)


async def load_models(
    checked: CheckedRepository, runtime: Runtime, workers: Workers, threads: int
) -> Mapping[ModelKey, LoadedModel]:
    """Load every model of a repository, several at a time.

    Args:
        checked: The repository.
        runtime: What is to run the models.
        workers: The threads to load on.
        threads: Threads of one operator when a config does not say.

    Raises:
        RepositoryError: Names every problem of the model files.
    """
    diagnostics = Diagnostics()
    entries = checked.repository.entries
    opened = await asyncio.gather(
        *(
            workers.run(partial(_open, entry, version, threads, runtime, diagnostics))
            for entry in entries.values()
            if not entry.config.is_ensemble
            for version in entry.versions
        )
    )
    diagnostics.raise_if_any()
    models = [model for model in opened if model is not None]
    for name, plan in checked.plans.items():
        entry = entries[name]
        models += [_loaded(entry.config, version, plan) for version in entry.versions]
    return {model.key: model for model in models}


def _open(
    entry: ModelEntry,
    version: int,
    threads: int,
    runtime: Runtime,
    diagnostics: Diagnostics,
    _: CancelToken,
) -> LoadedModel | None:
    began = time.perf_counter()
    config, file = entry.config, entry.versions[version]
    try:
        session = Session(file, config, threads, runtime)
    except Exception as error:  # runtimes' exceptions have no common base
        allowed = f"an ONNX model that this {runtime.title} supports"
        diagnostics.add(file, "", f"cannot be loaded: {error}", allowed)
        return None
    session.check(diagnostics)
    seconds = time.perf_counter() - began
    facts = {"model": config.name, "version": version, "seconds": round(seconds, 3)}
    _log.info("model loaded", extra=facts)
    return _loaded(config, version, session, seconds)


def _loaded(
    config: ModelConfig, version: int, runner: Session | EnsemblePlan, seconds: float = 0.0
) -> LoadedModel:
    info = ModelInfo(
        name=config.name,
        version=version,
        max_batch_size=config.max_batch_size,
        inputs=config.inputs,
        outputs=config.outputs,
        parameters=config.parameters,
        steps=tuple(step.model for step in runner.steps) if isinstance(runner, EnsemblePlan) else (),
    )
    return LoadedModel(config, version, info, runner, seconds)
