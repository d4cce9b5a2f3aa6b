"""Runs loaded models on the calling thread: an ensemble step by step, cached stages answered on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from service.engine.base import Array, CacheStatistics, Inference, InferenceResult, StageTiming
from service.engine.cancellation import CancelToken
from service.engine.embedded.loading import LoadedModel, ModelKey
from service.engine.embedded.response_cache import ResponseCache, cache_key
from service.engine.embedded.runtime import Interrupt
from service.engine.embedded.session import Session
from service.engine.tensors import check_inputs, check_outputs, unknown_model

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One inference on its way.

    Attributes:
        token: Says whether anybody waits for it.
        interrupt: Ends what runs for this call alone when nobody waits.
        timings: Gets an entry for every stage that took part.
    """

    token: CancelToken
    interrupt: Interrupt
    timings: list[StageTiming] = field(default_factory=list)


class Execution:
    """The models of one repository at work. Used by several threads at once.

    Args:
        models: Every loaded model; ensembles find their steps here.
        interrupt: Makes what ends the runs of one call.
        cache_bytes: Bound of the response cache.
        alone: Tells whether the machine has nothing else to do, so that a stage may use all of it.
    """

    def __init__(
        self,
        models: Mapping[ModelKey, LoadedModel],
        interrupt: Callable[[], Interrupt],
        cache_bytes: int,
        alone: Callable[[], bool] = lambda: True,
    ) -> None:
        self._models = models
        self._interrupt = interrupt
        self._alone = alone
        self._newest = {name: models[name, version] for name, version in sorted(models)}
        self.infos = {name: model.info for name, model in self._newest.items()}
        self._cache = ResponseCache(cache_bytes)
        # Results that are kept are of use to others: only the end of the engine ends their computation.
        self._shared_interrupt = interrupt()

    def run(self, inference: Inference, token: CancelToken) -> InferenceResult:
        """Run the newest version of a model or an ensemble.

        Raises:
            EngineFailure: A model failed, does not exist, or was given inputs that it does not take.
            Stopped: Nobody waits any more; looked at before every stage.
        """
        model = self._newest.get(inference.model)
        if model is None:
            raise unknown_model(inference.model, self.infos)
        check_outputs(model.info, inference.outputs)
        check_inputs(model.info, inference.inputs)
        call = _Call(token, self._interrupt())
        token.interrupt = call.interrupt.end
        answer = self._answer(model, inference.inputs, inference.outputs, call)
        _log.debug("inference done", extra={"model": inference.model, "stages": len(call.timings)})
        return InferenceResult({name: answer[name] for name in inference.outputs}, tuple(call.timings))

    def warm_up(self, model: LoadedModel, inputs: Mapping[str, Array], token: CancelToken) -> None:
        """Run a version of a model once, and leave the cache empty, so that the next call runs it again.

        Raises:
            EngineFailure: The model failed, or does not take these inputs.
        """
        check_inputs(model.info, inputs)
        self._answer(model, inputs, model.output_names, _Call(token, self._interrupt()))
        self._cache.clear()
        if isinstance(model.runner, Session):
            model.runner.warm_up(inputs)

    def cache_statistics(self) -> CacheStatistics:
        """How full the response cache is, and how often it was asked so far."""
        return self._cache.statistics()

    def interrupt(self) -> None:
        """End what runs and is kept for others; the engine is going down."""
        self._shared_interrupt.end()

    def _answer(
        self, model: LoadedModel, inputs: Mapping[str, Array], outputs: Sequence[str], call: _Call
    ) -> Mapping[str, Array]:
        """The outputs of one model and perhaps others; from the cache where the config allows."""
        arrived = time.perf_counter()
        if not model.config.response_cache:
            return self._compute(model, inputs, outputs, call, arrived)
        # Every output is computed, for whoever asks next may want others.
        shared = _Call(call.token, self._shared_interrupt, call.timings)
        compute = partial(self._compute, model, inputs, model.output_names, shared, arrived)
        found, kept = self._cache.get_or_compute(cache_key(*model.key, inputs), compute, call.token)
        if kept:
            waited = time.perf_counter() - arrived
            call.timings.append(StageTiming(model.config.name, waited, 0.0, cached=True, began=arrived))
        return found

    def _compute(
        self,
        model: LoadedModel,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        call: _Call,
        arrived: float,
    ) -> Mapping[str, Array]:
        call.token.check()
        runner = model.runner
        if isinstance(runner, Session):
            began = time.perf_counter()
            # For each stage anew: others may have come or gone meanwhile.
            results = runner.run(inputs, outputs, call.interrupt, wide=self._alone())
            ended = time.perf_counter()
            call.timings.append(
                StageTiming(model.config.name, began - arrived, ended - began, cached=False, began=arrived)
            )
            return results
        tensors = dict(inputs)
        for step in runner.steps:
            stage = self._models[step.model, step.version]
            given = {}
            for name, tensor in step.inputs.items():
                given[name] = tensors[tensor]
            if step.checked:
                check_inputs(stage.info, given)
            written = self._answer(stage, given, list(step.outputs), call)
            for name, tensor in step.outputs.items():
                tensors[tensor] = written[name]
        return {name: tensors[name] for name in model.output_names}
