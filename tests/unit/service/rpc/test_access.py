"""From metadata to keys and scopes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.access.keys import Keys
from service.core.errors import PermissionDenied, Unauthenticated
from service.core.limits import CallLimits
from service.core.metrics import Metrics, Rpc
from service.rpc.access import METHOD_SCOPES, Access
from service.rpc.admission import Kind
from service.rpc.call import Behaviour, Call
from service.rpc.calls import Calls
from service.rpc.interceptors import Authentication, RequestIds
from tests.support.key_file import new_key

KEY, ENTRY = new_key("studio")
EDITOR_KEY, EDITOR = new_key("editor", "edit")
ACCESS = Access(Keys([ENTRY, EDITOR]))


def test_every_method_of_the_service_has_its_scopes() -> None:
    methods = pb.DESCRIPTOR.services_by_name["SynthesisService"].methods_by_name
    assert METHOD_SCOPES.keys() == set(methods)
    assert all(METHOD_SCOPES.values())


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer  {KEY} ")],
        [("x-api-key", KEY)],
        [("x-request-id", "1"), ("authorization", f"BEARER {KEY}"), ("x-bin", b"\xff")],
    ],
)
def test_a_key_is_taken_from_either_name(metadata: list[tuple[str, str | bytes]]) -> None:
    assert ACCESS.permit("Synthesize", metadata) == ENTRY


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "needs a key; send the metadata `authorization: Bearer <key>`"),
        ([], "needs a key"),
        ([("authorization", KEY)], "not of the form"),
        ([("authorization", f"Basic {KEY}")], "not of the form"),
        ([("authorization", "Bearer ")], "not known"),
        ([("authorization", f"Bearer {KEY}x")], "not known"),
        ([("x-api-key", "")], "not known"),
        ([("authorization", "Bearer x"), ("x-api-key", KEY)], "not known"),
    ],
)
def test_other_metadata_is_refused_without_the_key(
    metadata: list[tuple[str, str | bytes]] | None, told: str
) -> None:
    with pytest.raises(Unauthenticated, match=told) as caught:
        ACCESS.identify(metadata)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("method", ["Synthesize", "SynthesizeStream", "Paint", "Morph"])
def test_a_key_for_something_else_is_refused(method: str) -> None:
    with pytest.raises(PermissionDenied, match="'editor' has the scopes edit; this needs synthesize"):
        ACCESS.permit(method, [("x-api-key", EDITOR_KEY)])


def test_edits_are_for_editors_alone() -> None:
    assert ACCESS.permit("Edit", [("x-api-key", EDITOR_KEY)]) == EDITOR
    with pytest.raises(PermissionDenied, match="'studio' has the scopes synthesize; this needs edit"):
        ACCESS.permit("Edit", [("x-api-key", KEY)])


@pytest.mark.parametrize("method", ["ListModels", "GetModel", "EncodeStyles", "ReadLabelMap"])
def test_models_and_what_is_read_are_for_editors_too(method: str) -> None:
    assert ACCESS.permit(method, [("x-api-key", EDITOR_KEY)]) == EDITOR


def test_new_keys_take_the_place_of_the_old() -> None:
    access = Access(Keys([ENTRY]))
    access.accept(Keys([EDITOR]))
    assert access.identify([("x-api-key", EDITOR_KEY)]) == EDITOR
    with pytest.raises(Unauthenticated):
        access.identify([("x-api-key", KEY)])


METHOD = "/maskweave.v1.SynthesisService/Synthesize"
OTHER = "/tests.Other/Work"


@asynccontextmanager
async def guarded(
    access: Access, limits: CallLimits, work: Behaviour, metrics: Metrics | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server whose two methods do `work`, behind the authentication of the gateway."""
    calls = Calls(metrics or Metrics(), limits, access)
    authentication = Authentication(access, ["tests.Other"], calls.refusal)
    server = grpc.aio.server(interceptors=(RequestIds(), authentication))
    for path in (METHOD, OTHER):
        service, name = path.strip("/").split("/")
        handlers = {name: calls.handler(Rpc(service, name), Kind.WORK, work)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield channel
    await server.stop(None)


async def outcome(channel: grpc.aio.Channel, key: str, path: str = METHOD) -> str:
    """What a call with this key ends with: what it was answered, or the name of its status."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    try:
        return (await method(b"", metadata=(("x-api-key", key),), timeout=20)).decode()
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def test_overload_costs_a_key_nothing_of_its_rate_and_a_call_is_its_keys() -> None:
    slow_key, slow = new_key("slow", requests_per_second=0.001, burst=1)
    go_on, arrived = asyncio.Event(), asyncio.Event()

    async def work(call: Call) -> None:
        if call.caller == "studio":
            arrived.set()
            await go_on.wait()
        await call.send(call.caller.encode())

    async with guarded(Access(Keys([ENTRY, slow])), CallLimits(concurrent_rpcs=1), work) as channel:
        first = asyncio.create_task(outcome(channel, KEY))
        await arrived.wait()
        assert await outcome(channel, slow_key) == "RESOURCE_EXHAUSTED"
        assert await outcome(channel, "wrong") == "UNAUTHENTICATED"
        go_on.set()
        assert await first == "studio"
        assert await outcome(channel, slow_key) == "slow"
        assert await outcome(channel, slow_key) == "RESOURCE_EXHAUSTED"


async def test_a_key_is_asked_for_before_a_message_is_read() -> None:
    """A caller without a key who sends headers and nothing else is answered at once."""

    async def work(call: Call) -> None:
        await call.channel.read()

    async with guarded(Access(Keys([ENTRY])), CallLimits(), work) as channel:
        for path in (METHOD, OTHER):
            method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(path)
            call = method(metadata=(("x-api-key", "wrong"),), timeout=20)
            assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_who_has_no_key_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def work(call: Call) -> None:
        await call.send(b"done")

    metrics, count, began = Metrics(), 300, time.monotonic()
    # A call is logged after its answer: the lines are complete once the server has stopped.
    with caplog.at_level(logging.INFO):
        async with guarded(Access(Keys([ENTRY])), CallLimits(), work, metrics) as channel:
            await asyncio.gather(*(outcome(channel, "wrong") for _ in range(count)))
            seconds = time.monotonic() - began
            assert await outcome(channel, KEY) == "done"
    codes = Counter(getattr(record, "code", "") for record in caplog.records if record.message == "call")
    assert 100 <= codes["UNAUTHENTICATED"] <= 100 + 10 * seconds + 1
    assert codes["OK"] == 1
    assert f'maskweave_failures_total{{reason="UNAUTHENTICATED"}} {count}.0' in metrics.render().decode()


async def test_what_is_refused_of_health_is_no_call_of_the_gateway(caplog: pytest.LogCaptureFixture) -> None:
    """Closed services are counted and logged as open ones are: not at all. Those of the gateway are."""

    async def work(call: Call) -> None:
        await call.channel.read()

    metrics = Metrics()
    # A call is logged after its answer: the lines are complete once the server has stopped.
    with caplog.at_level(logging.INFO):
        async with guarded(Access(Keys([ENTRY])), CallLimits(), work, metrics) as channel:
            for path in (OTHER, METHOD):
                assert await outcome(channel, "wrong", path) == "UNAUTHENTICATED"
    lines = [record for record in caplog.records if record.message == "call"]
    assert [getattr(line, "method", "") for line in lines] == ["Synthesize"]
    page = metrics.render().decode()
    assert 'grpc_code="Unauthenticated",grpc_method="Synthesize"' in page
    assert 'grpc_code="Unauthenticated",grpc_method="Work"' not in page
    assert 'maskweave_failures_total{reason="UNAUTHENTICATED"} 1.0' in page
