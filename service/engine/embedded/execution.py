"""Runs loaded models: through the response cache, on the worker threads, ensembles step by step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from service.engine.base import Array, StageTiming
from service.engine.embedded.age import Age
from service.engine.embedded.dataflow import PlannedStep
from service.engine.embedded.ensemble import feed, keep, run_ensemble
from service.engine.embedded.loading import LoadedModel, ModelKey
from service.engine.embedded.onnx_model import OnnxModel
from service.engine.embedded.response_cache import CacheKey, ResponseCache, cache_key
from service.engine.embedded.single_flight import SingleFlight
from service.engine.embedded.workers import Link, Timed, Workers
from service.engine.tensors import check_inputs


class Stage(NamedTuple):
    """A stage that ran: when its inputs were there (`time.perf_counter`), and how long it took."""

    arrived: float
    timing: StageTiming


class _Answer(NamedTuple):
    outputs: Mapping[str, Array]
    stages: list[Stage]


class Execution:
    """The models of one repository at work. Belongs to one event loop.

    Args:
        models: Every loaded model; ensembles find their steps here.
        threads: Models that run at the same time.
        cache_bytes: Bound of the response cache.
    """

    def __init__(self, models: Mapping[ModelKey, LoadedModel], threads: int, cache_bytes: int) -> None:
        self._models = models
        self._cache = ResponseCache(cache_bytes)
        self._flights: SingleFlight[_Answer] = SingleFlight()
        instances = {key: model.config.session.instances for key, model in models.items()}
        self._workers = Workers(threads, {key: count for key, count in instances.items() if count})

    async def run(
        self,
        model: LoadedModel,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        age: Age,
        stages: list[Stage],
    ) -> Mapping[str, Array]:
        """Answer one call, from the response cache where the model's config allows.

        Args:
            model: What to run.
            inputs: Arrays that passed `check_inputs`.
            outputs: The outputs wanted; there may be more in the answer.
            age: Of the request; the smaller goes first.
            stages: Gets an entry for every stage that took part.
        """
        if not model.config.response_cache:
            return await self._compute(model, inputs, outputs, age, stages)
        arrived = time.perf_counter()
        key = cache_key(*model.key, inputs)
        kept = self._cache.get(key)
        if kept is None:
            answer, joined = await self._flights.run(key, partial(self._fill, key, model, inputs, age))
            kept = answer.outputs
            if not joined:
                stages += answer.stages
                return kept
        waited = time.perf_counter() - arrived
        stages.append(Stage(arrived, StageTiming(model.config.name, waited, 0.0, cached=True)))
        return kept

    async def warm_up(self, model: LoadedModel, inputs: Mapping[str, Array]) -> None:
        """Run a model once, and leave the cache empty, so that the next call runs it again."""
        await self.run(model, inputs, model.output_names, Age(0, 0), [])
        self._cache.clear()

    async def close(self) -> None:
        """Wait for the work that runs and end the threads; no call may be in progress."""
        await self._workers.close()
        self._cache.clear()

    async def _fill(
        self, key: CacheKey, model: LoadedModel, inputs: Mapping[str, Array], age: Age
    ) -> _Answer:
        """Compute every output, for whoever asks next may want others, and keep them."""
        stages: list[Stage] = []
        outputs = await self._compute(model, inputs, model.output_names, age, stages)
        self._cache.put(key, outputs)
        return _Answer(outputs, stages)

    async def _compute(
        self,
        model: LoadedModel,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        age: Age,
        stages: list[Stage],
    ) -> Mapping[str, Array]:
        runner = model.runner
        if isinstance(runner, OnnxModel):
            timed = await self._workers.run(model.key, age, partial(runner.run, inputs, outputs))
            stages.append(_stage(model, timed))
            return timed.value

        async def run_step(step: PlannedStep, given: Mapping[str, Array]) -> Mapping[str, Array]:
            return await self._run_step(step, given, age, stages)

        async def run_chain(steps: Sequence[PlannedStep], tensors: dict[str, Array]) -> None:
            await self._run_chain(steps, tensors, age, stages)

        tensors = await run_ensemble(runner, inputs, run_step, run_chain)
        return {name: tensors[name] for name in model.output_names}

    async def _run_step(
        self, step: PlannedStep, inputs: Mapping[str, Array], age: Age, stages: list[Stage]
    ) -> Mapping[str, Array]:
        model = self._models[step.model, step.version]
        # Sizes that the configs leave open are known only now.
        check_inputs(model.info, inputs)
        return await self.run(model, inputs, tuple(step.outputs), age, stages)

    async def _run_chain(
        self, steps: Sequence[PlannedStep], tensors: dict[str, Array], age: Age, stages: list[Stage]
    ) -> None:
        """Run steps one after the other; those that no cache and no ensemble answers stay on one thread."""
        for computes, group in itertools.groupby(steps, key=self._computes):
            if computes:
                chained = list(group)
                links = [
                    Link((step.model, step.version), partial(self._link, step, tensors)) for step in chained
                ]
                for step, timed in zip(chained, await self._workers.run_chain(links, age), strict=True):
                    stages.append(_stage(self._models[step.model, step.version], timed))
            else:
                for step in group:
                    keep(step, await self._run_step(step, feed(step, tensors), age, stages), tensors)

    def _computes(self, step: PlannedStep) -> bool:
        model = self._models[step.model, step.version]
        return isinstance(model.runner, OnnxModel) and not model.config.response_cache

    def _link(self, step: PlannedStep, tensors: dict[str, Array]) -> None:
        """On a thread: one step of a chain. Nobody else reads the tensors until the chain has ended."""
        model = self._models[step.model, step.version]
        assert isinstance(model.runner, OnnxModel)
        inputs = feed(step, tensors)
        check_inputs(model.info, inputs)
        keep(step, model.runner.run(inputs, tuple(step.outputs)), tensors)


def _stage(model: LoadedModel, timed: Timed[Any]) -> Stage:
    timing = StageTiming(model.config.name, timed.queue_seconds, timed.compute_seconds, cached=False)
    return Stage(timed.submitted, timing)
