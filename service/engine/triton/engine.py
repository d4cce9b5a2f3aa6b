"""The Triton engine itself: one call of ours is one inference of a Triton server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

from tritonclient.grpc import InferInput, InferRequestedOutput, aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from service.core.errors import DeadlineExceeded, EngineFailure, MaskweaveError, Unavailable
from service.core.logging import current_request_id, request_context
from service.engine.base import (
    CLOSE_SECONDS,
    Array,
    EngineStatistics,
    Finished,
    Inference,
    InferenceContext,
    InferenceResult,
    ModelInfo,
    ReadinessListener,
    StageTiming,
    Task,
    advance,
)
from service.engine.cancellation import CancelToken
from service.engine.tensors import (
    check_inputs,
    check_outputs,
    full_shape,
    shape_text,
    shapes_agree,
    unknown_model,
)
from service.engine.triton.endpoints import Endpoint, Endpoints
from service.engine.triton.failures import failure_of
from service.engine.workers import Workers

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Kept back from the deadline in what Triton is told, so that its refusal arrives as an answer.
_QUEUE_MARGIN_SECONDS = 0.005

# How long calls may take to notice that the connections are closed.
_END_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Call:
    """One inference to be made; `deadline` is a time of the event loop's clock."""

    info: ModelInfo
    inference: Inference
    context: InferenceContext
    deadline: float | None

    def remaining_seconds(self) -> float | None:
        return None if self.deadline is None else self.deadline - asyncio.get_running_loop().time()


class _InFlight:
    """Counts the runs in progress: a context for each; `drained` waits until none is left."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def drained(self, seconds: float) -> bool:
        """Wait until no run is in progress; False when that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            return False
        return True


class TritonEngine:
    """An `Engine` on one or more Triton servers that serve the same repository.

    A whole ensemble is one call, so its timing is that of the ensemble; what its steps took is in Triton's
    own metrics.

    Args:
        urls: Addresses of the servers' gRPC ports, as gRPC targets. Those that are ready take turns.
        models: Names of the ensembles to serve; empty for all that offer a pack.
        start_seconds: How long to wait for a server that is ready.
        worker_threads: Threads for what tasks compute themselves: decoding, encoding.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        models: Sequence[str] = (),
        start_seconds: float,
        worker_threads: int = 2,
    ) -> None:
        self._urls = tuple(urls)
        self._names = tuple(models)
        self._start_seconds = start_seconds
        self._worker_threads = worker_threads
        self._workers: Workers | None = None
        self._endpoints: Endpoints | None = None
        self._infos: Mapping[str, ModelInfo] = MappingProxyType({})
        self._listeners: list[ReadinessListener] = []
        self._in_flight = _InFlight()
        self._latest_seconds = 0.0
        self._latest = EngineStatistics("Triton")

    async def start(self) -> None:
        """Wait for a server and learn its models; see `Engine.start`."""
        began = time.perf_counter()
        endpoints = Endpoints(self._urls, self._names, self._tell)
        try:
            self._infos = MappingProxyType(dict(await endpoints.connect(self._start_seconds)))
            self._latest = EngineStatistics("Triton", await endpoints.version())
        except BaseException:
            await endpoints.close()
            raise
        self._endpoints = endpoints
        self._workers = Workers(self._worker_threads, "engine")
        seconds = round(time.perf_counter() - began, 3)
        _log.info("engine ready", extra={"models": len(self._infos), "seconds": seconds})
        self._tell(True)

    async def close(self, grace_seconds: float = CLOSE_SECONDS) -> None:
        """Refuse new work, give running work time to end, close the connections; see `Engine.close`."""
        self._latest = self.statistics()
        endpoints, self._endpoints = self._endpoints, None
        workers, self._workers = self._workers, None
        self._infos = MappingProxyType({})
        if endpoints is None or workers is None:
            return
        self._tell(False)
        if not await self._in_flight.drained(grace_seconds):
            _log.warning("calls in progress are given up", extra={"grace_seconds": grace_seconds})
        await endpoints.close()  # ends what waits for a server
        await self._in_flight.drained(_END_SECONDS)
        if not await workers.close(grace_seconds=0):
            _log.warning("worker threads run on after the engine was closed")

    def models(self) -> Mapping[str, ModelInfo]:
        """The models, by name; they stay the same while a server is away."""
        return self._infos

    def statistics(self) -> EngineStatistics:
        """What it does at the moment; its cache and its models' loading are in Triton's own metrics."""
        workers = self._workers
        if workers is None:
            return self._latest
        return replace(
            self._latest,
            workers=self._worker_threads,
            busy=workers.running,
            waiting=workers.waiting,
            busy_seconds=workers.busy_seconds,
        )

    def watch(self, listener: ReadinessListener) -> None:
        """Tell `listener` of the start, when the last ready server goes, and when the first is back."""
        self._listeners.append(listener)

    async def run(self, task: Task[T], context: InferenceContext = InferenceContext()) -> T:  # noqa: B008 - frozen
        """Run a task on worker threads, and its inferences on a server; see `Engine.run`."""
        endpoints, workers = self._endpoints, self._workers
        if endpoints is None or workers is None:
            raise Unavailable("The engine is not running.")
        if context.timeout is not None and context.timeout <= 0:
            raise DeadlineExceeded("The deadline had passed before the work began.")
        with self._in_flight, request_context(context.request_id or current_request_id()):
            try:
                async with asyncio.timeout(context.timeout) as deadline:
                    outcome: InferenceResult | Exception | None = None
                    while True:
                        segment = partial(_segment, task, outcome)
                        step = await workers.run(segment, priority=context.priority)
                        if isinstance(step, Finished):
                            return step.value
                        outcome = await self._outcome(endpoints, step, context, deadline.when())
            except TimeoutError:
                workers.post(partial(_close, task))
                if not deadline.expired():
                    raise
                raise DeadlineExceeded(f"Not done within {context.timeout:.3f} s.") from None
            except BaseException:
                workers.post(partial(_close, task))
                raise

    async def _outcome(
        self, endpoints: Endpoints, inference: Inference, context: InferenceContext, deadline: float | None
    ) -> InferenceResult | Exception:
        """What came of an inference, for the task to see: its result, or its failure."""
        try:
            info = self._infos.get(inference.model)
            if info is None:
                raise unknown_model(inference.model, self._infos)
            check_outputs(info, inference.outputs)
            check_inputs(info, inference.inputs)
            began = time.perf_counter()
            arrays = await self._answer(endpoints, _Call(info, inference, context, deadline))
        except MaskweaveError as error:
            return error
        self._latest_seconds = seconds = time.perf_counter() - began
        _log.debug("inference done", extra={"model": info.name, "seconds": round(seconds, 6)})
        return InferenceResult(arrays, (StageTiming(info.name, 0.0, seconds, cached=False, began=began),))

    async def _answer(self, endpoints: Endpoints, call: _Call) -> Mapping[str, Array]:
        """Have a call answered, by another endpoint when the first is found gone."""
        endpoint = endpoints.pick(call.info.name)
        try:
            return await self._send(endpoint, call)
        except Unavailable:
            # The same address will do where there is no other: there may be several servers behind it.
            endpoint.mark_unhealthy()
            endpoint = endpoints.pick(call.info.name, other_than=endpoint)
        try:
            return await self._send(endpoint, call)
        except Unavailable:
            endpoint.mark_unhealthy()
            raise

    async def _send(self, endpoint: Endpoint, call: _Call) -> Mapping[str, Array]:
        info, context, remaining = call.info, call.context, call.remaining_seconds()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded(f"{info.name}: the deadline had passed before it began.")
        queue = None if remaining is None else max(1, round((remaining - _QUEUE_MARGIN_SECONDS) * 1e6))
        try:
            with context.trace.outgoing(info.name) as headers:
                result = await endpoint.client.infer(
                    info.name,
                    [_input(name, array) for name, array in call.inference.inputs.items()],
                    model_version=str(info.version),
                    outputs=[InferRequestedOutput(name) for name in call.inference.outputs],
                    request_id=context.request_id,
                    priority=int(context.priority),
                    timeout=queue,
                    client_timeout=remaining,
                    headers=dict(headers),
                )
        except InferenceServerException as error:
            raise failure_of(error, info.name, self._latest_seconds) from error
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and not current.cancelling():
                # Not our caller: the connection was closed under the call.
                raise Unavailable("The engine is shutting down.") from None
            raise
        batch = next(iter(call.inference.inputs.values())).shape[:1] if info.max_batch_size else ()
        return {name: _output(result, info, name, batch) for name in call.inference.outputs}

    def _tell(self, ready: bool) -> None:
        for listener in self._listeners:
            listener(ready)


def _segment(
    task: Task[T], outcome: InferenceResult | Exception | None, token: CancelToken
) -> Inference | Finished[T]:
    """On a worker thread: what a task computes until its next inference."""
    step = advance(task, outcome)
    if token.cancelled:
        _close(task)
    return step


def _close(task: Task[Any]) -> None:
    """On a worker thread: end a task for which nobody waits any more."""
    try:
        task.close()
    except ValueError:
        # It is running on another thread, which closes it: the token was cancelled before this was asked for.
        return


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
