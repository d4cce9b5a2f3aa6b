"""The Triton engine itself: one call of ours is one inference of a Triton server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tritonclient.grpc import InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    NotFound,
    Unavailable,
)
from service.core.logging import current_request_id, request_context
from service.engine.base import (
    Array,
    InferenceContext,
    InferenceResult,
    ModelInfo,
    ReadinessListener,
    StageTiming,
)
from service.engine.in_flight import InFlight
from service.engine.tensors import check_inputs, full_shape, shape_text, shapes_agree, wanted_outputs
from service.engine.triton.endpoints import Endpoint, Endpoints
from service.engine.triton.failures import failure_of

_log = logging.getLogger(__name__)

# Kept back from the deadline in what Triton is told, so that its refusal arrives as an answer.
_QUEUE_MARGIN_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class _Call:
    """One inference to be made; `deadline` is a time of the event loop's clock."""

    info: ModelInfo
    inputs: Mapping[str, Array]
    outputs: Sequence[str]
    context: InferenceContext
    deadline: float | None

    def remaining_seconds(self) -> float | None:
        return None if self.deadline is None else self.deadline - asyncio.get_running_loop().time()


class TritonEngine:
    """An `Engine` on one or more Triton servers that serve the same repository.

    A whole ensemble is one call, so its timing is that of the ensemble; what its steps took is in Triton's
    own metrics.

    Args:
        urls: Addresses of the servers' gRPC ports, as gRPC targets. Those that are ready take turns.
        models: Names of the ensembles to serve; empty for all that offer a pack.
        start_seconds: How long to wait for a server that is ready.
    """

    def __init__(self, urls: Sequence[str], *, models: Sequence[str] = (), start_seconds: float) -> None:
        self._urls = tuple(urls)
        self._names = tuple(models)
        self._start_seconds = start_seconds
        self._endpoints: Endpoints | None = None
        self._infos: Mapping[str, ModelInfo] = MappingProxyType({})
        self._listeners: list[ReadinessListener] = []
        self._in_flight = InFlight()
        self._latest_seconds = 0.0

    async def start(self) -> None:
        """Wait for a server and learn its models; see `Engine.start`."""
        began = time.perf_counter()
        endpoints = Endpoints(self._urls, self._names, self._tell)
        try:
            self._infos = MappingProxyType(dict(await endpoints.connect(self._start_seconds)))
        except BaseException:
            await endpoints.close()
            raise
        self._endpoints = endpoints
        seconds = round(time.perf_counter() - began, 3)
        _log.info("engine ready", extra={"models": len(self._infos), "seconds": seconds})
        self._tell(True)

    async def close(self) -> None:
        """Refuse new work, wait for running work, close the connections. Safe to call twice."""
        endpoints, self._endpoints = self._endpoints, None
        self._infos = MappingProxyType({})
        if endpoints is not None:
            self._tell(False)
        await self._in_flight.drained()
        if endpoints is not None:
            await endpoints.close()

    def models(self) -> Mapping[str, ModelInfo]:
        """The models, by name; they stay the same while a server is away."""
        return self._infos

    def watch(self, listener: ReadinessListener) -> None:
        """Tell `listener` of the start, when the last ready server goes, and when the first is back."""
        self._listeners.append(listener)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        outputs: Sequence[str] | None = None,
        context: InferenceContext = InferenceContext(),  # noqa: B008 - frozen
    ) -> InferenceResult:
        """Run a model on a server; see `Engine.infer`."""
        if self._endpoints is None:
            raise Unavailable("The engine is not running.")
        info = self._infos.get(model)
        if info is None:
            raise NotFound("model", model, self._infos)
        wanted = wanted_outputs(info, outputs)
        check_inputs(info, inputs)
        with self._in_flight, request_context(context.request_id or current_request_id()):
            try:
                async with asyncio.timeout(context.timeout) as deadline:
                    began = time.perf_counter()
                    call = _Call(info, inputs, wanted, context, deadline.when())
                    arrays = await self._answer(self._endpoints, call)
            except TimeoutError:
                raise DeadlineExceeded(f"{model}: not done within {context.timeout:.3f} s.") from None
            self._latest_seconds = seconds = time.perf_counter() - began
            _log.debug("inference done", extra={"model": model, "seconds": round(seconds, 6)})
        return InferenceResult(arrays, (StageTiming(model, 0.0, seconds, cached=False),))

    async def _answer(self, endpoints: Endpoints, call: _Call) -> Mapping[str, Array]:
        """Have a call answered, by another endpoint when the first is found gone."""
        endpoint = endpoints.pick()
        try:
            return await self._send(endpoint, call)
        except Unavailable:
            # The same address will do where there is no other: there may be several servers behind it.
            endpoint.suspect()
            endpoint = endpoints.pick(other_than=endpoint)
        try:
            return await self._send(endpoint, call)
        except Unavailable:
            endpoint.suspect()
            raise

    async def _send(self, endpoint: Endpoint, call: _Call) -> Mapping[str, Array]:
        info, context, remaining = call.info, call.context, call.remaining_seconds()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded(f"{info.name}: the deadline had passed before it began.")
        queue = None if remaining is None else max(1, round((remaining - _QUEUE_MARGIN_SECONDS) * 1e6))
        try:
            result = await endpoint.client.infer(
                info.name,
                [_input(name, array) for name, array in call.inputs.items()],
                model_version=str(info.version),
                outputs=[InferRequestedOutput(name) for name in call.outputs],
                request_id=context.request_id,
                priority=int(context.priority),
                timeout=queue,
                client_timeout=remaining,
                headers=dict(context.trace),
            )
        except InferenceServerException as error:
            raise failure_of(error, info.name, self._latest_seconds) from error
        batch = next(iter(call.inputs.values())).shape[:1] if info.max_batch_size else ()
        return {name: _output(result, info, name, batch) for name in call.outputs}

    def _tell(self, ready: bool) -> None:
        for listener in self._listeners:
            listener(ready)


def _input(name: str, array: Array) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def _output(result: aio.InferResult, info: ModelInfo, name: str, batch: tuple[int, ...]) -> Array:
    """One output, checked: the server is another process, and may have been given another model."""
    array: Array | None = result.as_numpy(name)
    spec = next(spec for spec in info.outputs if spec.name == name)
    shape = (*batch, *full_shape(spec, info.max_batch_size)[len(batch) :])
    if array is None or array.dtype != spec.dtype or not shapes_agree(array.shape, shape):
        found = "nothing" if array is None else f"{array.dtype} {shape_text(array.shape)}"
        raise EngineFailure(f"{info.name} gave {name} as {found}, not {spec.dtype} {shape_text(shape)}")
    return array
