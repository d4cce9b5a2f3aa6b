"""Whatever goes wrong inside: one status, nothing that callers should not see, everything in the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock, Mock

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from service.core import errors
from service.core.diagnostics import RepositoryError
from service.core.limits import CallLimits
from service.core.metrics import Metrics
from service.engine.base import Array
from service.rpc.interceptors import SERVICE_NAME, RequestIds
from service.rpc.status import DETAILS_TRAILER, STATUS_CODES, describe, rich_status
from tests.support.fake_engine import FakeEngine
from tests.support.service_stack import ServiceStack, service_on

MAX_CONCURRENT = 4
SLOTS = 4
SECRET = "/srv/secret/path"
REQUEST = pb.SynthesizeRequest(
    model="tiny", label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))
)


@asynccontextmanager
async def stub_on(
    engine: FakeEngine, metrics: Metrics | None = None
) -> AsyncIterator[pb_grpc.SynthesisServiceAsyncStub]:
    """A gateway's gRPC side in this process, on a fake engine."""
    server = grpc.aio.server(interceptors=(RequestIds(),))
    stack_on(engine, metrics).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        options = (("grpc.enable_http_proxy", 0),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield pb_grpc.SynthesisServiceStub(channel)  # type: ignore[misc]
    finally:
        await server.stop(None)


def stack_on(engine: FakeEngine, metrics: Metrics | None = None) -> ServiceStack:
    return service_on(
        engine,
        metrics,
        concurrency_limit=SLOTS,
        capacity=SLOTS,
        call_limits=CallLimits(concurrent_rpcs=MAX_CONCURRENT),
    )


@pytest.mark.parametrize(
    "failure", [RuntimeError(SECRET), errors.EngineFailure(SECRET)], ids=["bug", "engine"]
)
@pytest.mark.parametrize("method", ["Synthesize", "SynthesizeStream"])
async def test_internal_failures_leak_nothing_and_are_logged(
    failure: Exception, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Mapping[str, Array]) -> None:
        raise failure

    async with stub_on(FakeEngine(fail)) as stub:
        metadata = (("x-request-id", "id-1"),)
        if method == "Synthesize":
            answer: Awaitable[object] = stub.Synthesize(REQUEST, metadata=metadata)
        else:
            answer = stub.SynthesizeStream(REQUEST, metadata=metadata).read()
        with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    trailer = dict(caught.value.trailing_metadata())
    told = (caught.value.details() or "") + repr(trailer)
    assert SECRET not in told
    assert "Traceback" not in told
    assert trailer["x-request-id"] == "id-1"
    (record,) = [record for record in caplog.records if record.message == "request failed"]
    assert record.exc_info
    assert record.exc_info[1] is failure


async def test_a_failure_after_the_first_image_ends_the_stream_with_its_status() -> None:
    async def later_ones_fail(inputs: Mapping[str, Array]) -> None:
        if inputs["LATENT"][0, 0] > 0:
            raise errors.Unavailable("The engine is gone.")

    latents = pb.LatentList(latents=[pb.Latent(values=[value, 0, 0]) for value in (0, 1)])
    request = pb.SynthesizeRequest(model="tiny", label_map=REQUEST.label_map, latents=latents)
    async with stub_on(FakeEngine(later_ones_fail)) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="The engine is gone") as caught:
            _ = [message async for message in stub.SynthesizeStream(request)]
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


SAMPLES: Mapping[type[BaseException], BaseException] = {
    errors.InvalidArgument: errors.InvalidArgument("seeds.values", 3, "4"),
    errors.NotFound: errors.NotFound("model", "x", ["y"]),
    errors.DeadlineExceeded: errors.DeadlineExceeded("Late."),
    errors.SessionIdle: errors.SessionIdle("No message has come."),
    errors.Overloaded: errors.Overloaded("Full.", 1.5, cause="queue"),
    errors.Unauthenticated: errors.Unauthenticated("No key."),
    errors.PermissionDenied: errors.PermissionDenied("studio", ["edit"], ["synthesize"]),
    errors.QuotaExceeded: errors.QuotaExceeded("studio", "max_concurrent", 2, 1.5),
    errors.MessageTooLarge: errors.MessageTooLarge(65536),
    errors.Unavailable: errors.Unavailable("Away."),
    errors.EngineUnreachable: errors.EngineUnreachable("Out of reach.", retry_after_seconds=1.25),
    errors.ModelNotReady: errors.ModelNotReady("Lost.", retry_after_seconds=1.25),
    errors.EngineFailure: errors.EngineFailure(SECRET),
    RepositoryError: RepositoryError([]),
}
DETAILS = {
    errors.InvalidArgument: error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="seeds.values", description="got 3; allowed: 4")
        ]
    ),
    errors.NotFound: error_details_pb2.ResourceInfo(
        resource_type="model", resource_name="x", description="model 'x' does not exist; available: y"
    ),
    errors.Overloaded: error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 500_000_000}),
    errors.QuotaExceeded: error_details_pb2.QuotaFailure(
        violations=[
            error_details_pb2.QuotaFailure.Violation(subject="key:studio", description="max_concurrent 2")
        ]
    ),
    errors.EngineUnreachable: error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 250_000_000}),
    errors.ModelNotReady: error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 250_000_000}),
}


@pytest.mark.parametrize("kind", [kind for kind in STATUS_CODES if issubclass(kind, errors.MaskweaveError)])
def test_every_failure_of_the_table_becomes_a_rich_status(kind: type[BaseException]) -> None:
    error = SAMPLES[kind]
    failure = describe(error)
    status = rich_status(failure, error, "id-2")
    assert (status.code, status.message) == (STATUS_CODES[kind].value[0], failure.message)
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert (info.reason, info.domain, request.request_id) == (failure.reason, "maskweave", "id-2")
    if kind in DETAILS:
        detail = type(DETAILS[kind])()
        assert status.details[2].Unpack(detail)
        assert detail == DETAILS[kind]


@pytest.mark.parametrize("kind", [kind for kind in STATUS_CODES if issubclass(kind, errors.MaskweaveError)])
async def test_every_failure_of_the_table_over_the_wire(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Mapping[str, Array]) -> None:
        raise SAMPLES[kind]

    async with stub_on(FakeEngine(fail)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Synthesize(REQUEST, metadata=(("x-request-id", "id-3"),))
    expected = rich_status(describe(SAMPLES[kind]), SAMPLES[kind], "id-3")
    trailer = dict(caught.value.trailing_metadata())
    sent = trailer[DETAILS_TRAILER]
    assert isinstance(sent, bytes)
    assert status_pb2.Status.FromString(sent) == expected
    assert caught.value.code() is STATUS_CODES[kind]
    assert caught.value.details() == expected.message
    assert trailer["x-request-id"] == "id-3"
    seconds = getattr(SAMPLES[kind], "retry_after_seconds", None)
    assert trailer.get("grpc-retry-pushback-ms") == (None if seconds is None else str(round(seconds * 1e3)))
    # What callers are not told is in the log, under the request's id.
    internal = STATUS_CODES[kind] is grpc.StatusCode.INTERNAL
    assert any(record.levelno == logging.ERROR and record.exc_info for record in caplog.records) == internal
    assert SECRET not in str(caught.value)


async def test_a_deadline_that_passes_while_the_loop_is_busy_is_not_taken_for_a_cancellation() -> None:
    """It is then gRPC that cancels the call, before the deadline's own timer was looked at."""
    come = 0

    async def busy(_: Mapping[str, Array]) -> None:
        nonlocal come
        come += 1
        time.sleep(0.3)  # noqa: ASYNC251 - on purpose
        await asyncio.Event().wait()

    metrics = Metrics()
    async with stub_on(FakeEngine(busy), metrics) as stub:
        await stub.ListModels(pb.ListModelsRequest())  # it is connected
        while not come:  # on a busy machine the deadline may pass before the call has come
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Synthesize(REQUEST, timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        while b'grpc_code="DeadlineExceeded"' not in metrics.render():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    assert b'maskweave_cancelled_total{cause="deadline"} 1.0' in metrics.render()
    assert b'maskweave_failures_total{reason="DEADLINE_EXCEEDED"} 1.0' in metrics.render()


@pytest.mark.parametrize("method", ["SynthesizeStream", "Paint"])
async def test_a_caller_who_vanishes_while_an_image_is_written_has_cancelled(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The write may hear of it before gRPC cancels the call, a race that no client can be made to win."""
    start = pb.PaintRequest(start=pb.PaintStart(model="tiny", label_map=REQUEST.label_map))
    message = start if method == "Paint" else REQUEST
    server, metrics = Mock(grpc.aio.Server), Metrics()
    context = AsyncMock(
        grpc.aio.ServicerContext,
        invocation_metadata=Mock(return_value=()),
        time_remaining=Mock(return_value=None),
        peer=Mock(return_value="ipv4:127.0.0.1:1"),
        read=AsyncMock(side_effect=[message.SerializeToString(), grpc.aio.EOF]),
        write=AsyncMock(side_effect=grpc.aio.InternalError("the batch has failed")),
    )
    stack_on(FakeEngine(), metrics).add_to(server)
    with caplog.at_level(logging.ERROR):
        (((service,),), _) = server.add_generic_rpc_handlers.call_args
        handler = service.service(Mock(method=f"/{SERVICE_NAME}/{method}"))
        with pytest.raises(asyncio.CancelledError):
            await handler.stream_stream(None, context)
    context.write.assert_awaited_once()
    assert not caplog.records
    assert b'grpc_code="Canceled"' in metrics.render()
    assert b'maskweave_cancelled_total{cause="caller"} 1.0' in metrics.render()


async def test_a_bug_in_an_update_ends_the_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.synthesis.canvas.draw_strokes", Mock(side_effect=RuntimeError(SECRET)))
    start = pb.PaintStart(model="tiny", label_map=REQUEST.label_map)
    strokes = pb.StrokeList(strokes=[pb.Stroke(class_id=0, width=1, points=[pb.Point(x=0, y=0)])])
    async with stub_on(FakeEngine()) as stub:
        call = stub.Paint(timeout=20)
        await call.write(pb.PaintRequest(start=start))
        await call.write(pb.PaintRequest(update=pb.PaintUpdate(sequence=1, strokes=strokes)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in str(caught.value)
    assert any(SECRET in str(record.exc_info) for record in caplog.records)


async def test_refusals_do_not_shorten_the_time_after_which_to_come_back() -> None:
    """An overloaded service that has just refused a call at once must not ask for the next one at once."""
    go_on, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Mapping[str, Array]) -> None:
        arrived.release()
        await go_on.wait()

    async def refused(stub: pb_grpc.SynthesisServiceAsyncStub) -> float:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Synthesize(REQUEST)
        status, retry = status_pb2.Status(), error_details_pb2.RetryInfo()
        status.ParseFromString(dict(caught.value.trailing_metadata())[DETAILS_TRAILER])
        assert status.details[2].Unpack(retry)
        return float(retry.retry_delay.ToNanoseconds() / 1e9)

    async with stub_on(FakeEngine(wait)) as stub:
        slow = asyncio.ensure_future(stub.Synthesize(REQUEST))
        await arrived.acquire()
        await asyncio.sleep(0.2)
        go_on.set()
        await slow
        go_on.clear()
        # As many as one caller gets of them.
        in_progress = [asyncio.ensure_future(stub.Synthesize(REQUEST)) for _ in range(MAX_CONCURRENT - 1)]
        for _ in in_progress:
            await arrived.acquire()
        assert min([await refused(stub) for _ in range(3)]) >= 0.2
        go_on.set()
        await asyncio.gather(*in_progress)


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.QuotaExceeded])
def test_overload_and_quotas_say_when_to_come_back(kind: type[BaseException]) -> None:
    error = SAMPLES[kind]
    retry = error_details_pb2.RetryInfo()
    assert rich_status(describe(error), error, "").details[-1].Unpack(retry)
    assert retry.retry_delay.ToNanoseconds() == 1.5e9


@pytest.mark.parametrize("way", ["deadline", "cancellation"])
async def test_a_call_that_ends_while_it_waits_for_its_turn_runs_nothing_and_leaves_its_place(
    way: str,
) -> None:
    go_on, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_: Mapping[str, Array]) -> None:
        arrived.release()
        await go_on.wait()

    engine = FakeEngine(wait)
    many = pb.SynthesizeRequest(model="tiny", label_map=REQUEST.label_map, number_of_images=SLOTS)
    async with stub_on(engine) as stub:
        running = asyncio.ensure_future(stub.Synthesize(many))
        for _ in range(SLOTS):
            await arrived.acquire()
        waiting = stub.Synthesize(REQUEST, timeout=0.5 if way == "deadline" else 20)
        if way == "deadline":
            assert await waiting.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        else:
            await asyncio.wait((asyncio.ensure_future(waiting.code()),), timeout=0.2)
            waiting.cancel()
        # There is room for exactly so many: not one place is still taken.
        filling = asyncio.ensure_future(stub.Synthesize(many))
        await asyncio.wait((filling,), timeout=0.2)
        go_on.set()
        assert len((await running).images) == len((await filling).images) == SLOTS
    assert len(engine.contexts) == 2 * SLOTS
