"""What the Triton engine sends, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from service.app.tracing import Tracing
from service.core.diagnostics import RepositoryError
from service.core.errors import (
    DeadlineExceeded,
    EngineFailure,
    EngineUnreachable,
    MaskweaveError,
    ModelNotReady,
    Overloaded,
    Unavailable,
)
from service.core.metrics import Rpc
from service.core.trace import Trace
from service.engine.base import Array, InferenceContext, Priority, TensorSpec
from service.engine.triton.engine import TritonEngine
from service.synthesis.work import Timings
from tests.support.inference import infer
from tests.support.otlp_receiver import otlp_receiver
from tests.support.promises import in_time
from tests.support.recording_triton import MODEL, RecordingTriton, recording_triton

TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "v=1"}
Serving = tuple[TritonEngine, RecordingTriton]


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[TritonEngine]:
    engine = TritonEngine([url], start_seconds=5)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    async with recording_triton() as (triton, url), engine_on(url) as engine:
        yield engine, triton


def row(*values: float) -> dict[str, Array]:
    return {"IN": np.array([values], np.float32)}


async def test_the_model_as_the_config_says(serving: Serving) -> None:
    engine, _ = serving
    info = engine.models()[MODEL]
    assert (info.version, info.max_batch_size, info.steps) == (3, 4, ())
    assert info.inputs == (TensorSpec("IN", np.dtype(np.float32), (2,)),)
    assert info.outputs == (TensorSpec("OUT", np.dtype(np.float32), (2,)),)
    assert info.parameters == {"maskweave.pack": "anything"}


async def test_an_answer(serving: Serving) -> None:
    engine, _ = serving
    result = await infer(engine, MODEL, {"IN": np.array([[1, 2], [3, 4]], np.float32)})
    np.testing.assert_array_equal(result.outputs["OUT"], [[2, 4], [6, 8]])
    (timing,) = result.timings
    assert (timing.model, timing.cached) == (MODEL, False)
    assert timing.compute_seconds > 0


async def test_everything_a_request_carries_along_arrives(serving: Serving) -> None:
    engine, triton = serving
    context = InferenceContext(request_id="r-7", timeout=9.0, priority=Priority.BATCH, trace=Trace(TRACE))
    await infer(engine, MODEL, row(1, 2), outputs=["OUT"], context=context)
    (request,) = triton.requests
    assert (request.model_name, request.model_version, request.id) == (MODEL, "3", "r-7")
    assert [output.name for output in request.outputs] == ["OUT"]
    assert request.parameters["priority"].uint64_param == 2
    # What may be spent in queues ends a little before the deadline.
    (seconds_left,) = triton.seconds_left
    assert seconds_left is not None
    queue_seconds = request.parameters["timeout"].int64_param / 1e6
    assert 8 < queue_seconds < 8.996
    assert 8 < seconds_left < 9.1  # gRPC rounds up
    assert TRACE.items() <= triton.metadata[0].items()


async def test_a_recorded_call_goes_on_at_the_server(serving: Serving) -> None:
    """Its spans hang below ours of the call to it, which has the time that the stage took."""
    engine, triton = serving
    with otlp_receiver() as receiver:
        tracing = Tracing(receiver.address, 0.0, "1")
        trace = tracing.begin(Rpc("a.Service", "Make"), TRACE, time.perf_counter())
        result = await infer(engine, MODEL, row(1, 2), context=InferenceContext(trace=trace))
        timings = Timings(stages=list(result.timings))
        trace.image("model", timings, 0, began=time.perf_counter(), failed=False)
        trace.end("OK", 0, {})
        await tracing.close()
        spans = {span.name: span for span in receiver.spans}
    call, inference = spans["a.Service/Make"], spans[MODEL]
    version, trace_id, parent, flags = str(triton.metadata[0]["traceparent"]).split("-")
    assert (version, trace_id, flags) == ("00", TRACE["traceparent"].split("-")[1], "01")
    assert triton.metadata[0]["tracestate"] == "v=1"
    assert parent == inference.span_id
    assert inference.kind == 3  # CLIENT
    assert inference.parent_id == call.span_id
    assert call.parent_id == TRACE["traceparent"].split("-")[2]
    # One span of the stage, not a second one from its timing.
    assert spans.keys() == {"a.Service/Make", MODEL, "image", "admission"}


async def test_a_request_without_a_deadline_has_none(serving: Serving) -> None:
    engine, triton = serving
    await infer(engine, MODEL, row(1, 2))
    assert triton.seconds_left == [None]
    assert "timeout" not in triton.requests[0].parameters
    assert "traceparent" not in triton.metadata[0]


async def test_cancelling_a_call_cancels_it_at_the_server(serving: Serving) -> None:
    engine, triton = serving
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    triton.behaviour = hang
    call = asyncio.create_task(infer(engine, MODEL, row(1, 2)))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(triton.cancelled.wait(), 5)


async def test_a_deadline_ends_a_call_here_and_at_the_server(serving: Serving) -> None:
    engine, triton = serving

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    triton.behaviour = hang
    with pytest.raises(DeadlineExceeded):
        await infer(engine, MODEL, row(1, 2), context=InferenceContext(timeout=0.1))
    await asyncio.wait_for(triton.cancelled.wait(), 5)


async def test_a_deadline_that_has_passed_sends_nothing(serving: Serving) -> None:
    engine, triton = serving
    with pytest.raises(DeadlineExceeded):
        await infer(engine, MODEL, row(1, 2), context=InferenceContext(timeout=0.0))
    assert triton.requests == []


@pytest.mark.parametrize(
    ("code", "words", "failure"),
    [
        (grpc.StatusCode.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", Overloaded),
        (grpc.StatusCode.UNAVAILABLE, "in ensemble 'x', Exceeds maximum queue size", Overloaded),
        (grpc.StatusCode.UNAVAILABLE, "[request id: 1] Request timeout expired", DeadlineExceeded),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Request for unknown model: 'double' has no available versions",
            ModelNotReady,
        ),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Request for unknown model: 'double' version 3 is not at ready state",
            ModelNotReady,
        ),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'double' is not found", ModelNotReady),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Server is stopping, scheduler for model has stopped",
            EngineUnreachable,
        ),
        (grpc.StatusCode.CANCELLED, "the server went away", EngineUnreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "late", DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, "onnx runtime error: /secret", EngineFailure),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", EngineFailure),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max", EngineFailure),
    ],
)
async def test_what_a_server_says_becomes_one_failure(
    serving: Serving, code: grpc.StatusCode, words: str, failure: type[MaskweaveError]
) -> None:
    engine, triton = serving

    async def refuse(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, words)

    triton.behaviour = refuse
    with pytest.raises(failure) as caught:
        await infer(engine, MODEL, row(1, 2))
    assert type(caught.value) is failure
    assert len(triton.requests) == (2 if issubclass(failure, Unavailable) else 1)
    if isinstance(caught.value, Overloaded | Unavailable):
        assert caught.value.retry_after_seconds
        assert caught.value.retry_after_seconds >= 0.05


async def test_a_call_that_another_try_answers_succeeds(serving: Serving) -> None:
    engine, triton = serving

    async def refuse_once(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if len(triton.requests) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    triton.behaviour = refuse_once
    assert (await infer(engine, MODEL, row(1, 2))).outputs["OUT"].tolist() == [[2, 4]]


async def test_wrong_tensors_are_refused_before_they_are_sent(serving: Serving) -> None:
    engine, triton = serving
    with pytest.raises(EngineFailure, match=r"double.inputs\[IN\]: got TYPE_FP32 \[ 1, 3 \]"):
        await infer(engine, MODEL, row(1, 2, 3))
    with pytest.raises(EngineFailure, match=r"double.outputs: got 'NONE'; allowed: OUT"):
        await infer(engine, MODEL, row(1, 2), outputs=["NONE"])
    with pytest.raises(EngineFailure, match="no model 'triple'; the engine has: double"):
        await infer(engine, "triple", row(1, 2))
    assert triton.requests == []


async def test_an_answer_of_another_shape_is_a_failure() -> None:
    async with recording_triton() as (triton, url):
        triton.config = triton.config.replace(
            '"OUT" data_type: TYPE_FP32 dims: [ 2 ]', '"OUT" data_type: TYPE_FP32 dims: [ 3 ]'
        )
        async with engine_on(url) as engine:
            with pytest.raises(
                EngineFailure, match=r"double gave OUT as float32 \[ 1, 2 \], not float32 \[ 1, 3 \]"
            ):
                await infer(engine, MODEL, row(1, 2))


async def test_types_that_are_not_understood_end_the_start() -> None:
    async with recording_triton() as (triton, url):
        triton.config = triton.config.replace("TYPE_FP32", "TYPE_STRING")
        with pytest.raises(RepositoryError) as caught:
            async with engine_on(url):
                pass
        lines = [str(problem) for problem in caught.value.problems]
    assert len(lines) == 2
    assert lines[0].startswith(
        f"{url}: double/config.pbtxt: input[0].data_type: got TYPE_STRING; allowed: TYPE_BOOL"
    )


async def test_a_server_that_loads_is_waited_for() -> None:
    async with recording_triton() as (triton, url):
        triton.ready = False
        engine = TritonEngine([url], start_seconds=10)
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0.3)
        assert not starting.done()
        triton.ready = True
        await starting
        await engine.close()


async def test_a_server_that_never_gets_ready_ends_the_start() -> None:
    async with recording_triton() as (triton, url):
        triton.ready = False
        engine = TritonEngine([url], start_seconds=0.5)
        with in_time(0.5), pytest.raises(EngineUnreachable, match="it is loading models"):
            await engine.start()
        await engine.close()


async def test_readiness_is_told_as_it_changes() -> None:
    told: list[bool] = []
    changed = asyncio.Event()

    def listen(ready: bool) -> None:
        told.append(ready)
        changed.set()

    async with recording_triton() as (triton, url):
        engine = TritonEngine([url], start_seconds=5)
        engine.watch(listen)
        await engine.start()
        assert told == [True]
        for ready in (False, True):
            changed.clear()
            triton.ready = triton.model_ready = ready
            await asyncio.wait_for(changed.wait(), 10)
            assert told[-1] is ready
        await engine.close()
        await engine.close()
    assert told == [True, False, True, False]


async def test_a_server_that_is_not_ready_while_it_loads_something_else_is_used() -> None:
    told: list[bool] = []
    async with recording_triton() as (triton, url), engine_on(url) as engine:
        engine.watch(told.append)
        probes = triton.probes
        triton.ready = False
        async with asyncio.timeout(10):
            while triton.probes < probes + 2:  # noqa: ASYNC110 - at the pace of the engine
                await asyncio.sleep(0.05)
        assert (await infer(engine, MODEL, row(1, 2))).outputs["OUT"].tolist() == [[2, 4]]
        assert told == []


async def test_closing_waits_for_what_runs_and_refuses_the_rest(serving: Serving) -> None:
    engine, triton = serving
    begun, gate = asyncio.Event(), asyncio.Event()

    async def wait(*_: object) -> None:
        begun.set()
        await gate.wait()

    triton.behaviour = wait
    call = asyncio.create_task(infer(engine, MODEL, row(1, 2)))
    await begun.wait()
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    with pytest.raises(Unavailable, match="not running"):
        await infer(engine, MODEL, row(1, 2))
    gate.set()
    assert (await call).outputs["OUT"].tolist() == [[2, 4]]
    await closing
