"""Health and reflection: what they answer, and that nobody can have them hold or read more than a little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.core.limits import CallLimits
from service.core.metrics import Metrics
from service.rpc.health import HEALTH, REFLECTION, GatewayHealth, add_reflection
from service.rpc.interceptors import SERVICE_NAME, RequestIds
from tests.support.fake_engine import FakeEngine
from tests.support.promises import in_time
from tests.support.service_stack import service_on

Check = health_pb2.HealthCheckRequest
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
CHECK, WATCH, INFO = f"/{HEALTH}/Check", f"/{HEALTH}/Watch", f"/{REFLECTION}/ServerReflectionInfo"


@dataclass
class Running:
    """A server with health and reflection."""

    health: GatewayHealth
    metrics: Metrics
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        """For health."""
        return health_pb2_grpc.HealthStub(self.channel)

    def opened(self, path: str, who: str = "somebody") -> Any:
        """A call that has sent its headers and nothing else."""
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(path)
        return method(timeout=30, metadata=(("who", who),))

    async def checked(self, who: str) -> Any:
        """The health, asked for by somebody."""
        reply = await self.stub.Check(Check(), metadata=(("who", who),), timeout=30)
        return reply.status


@asynccontextmanager
async def running(limits: CallLimits = CallLimits()) -> AsyncIterator[Running]:  # noqa: B008 - frozen
    metrics = Metrics()
    stack = service_on(FakeEngine(), metrics, call_limits=limits)
    server = grpc.aio.server(interceptors=(RequestIds(),))
    health = GatewayHealth([SERVICE_NAME])
    health.engine_ready(True)
    health.start()
    health.add_to(server, stack.calls)
    add_reflection(server, stack.calls, (SERVICE_NAME, HEALTH), idle=limits.check_seconds)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield Running(health, metrics, channel)
    await server.stop(None)


async def test_checks_and_lists_tell_what_is_so() -> None:
    async with running() as gateway:
        for service in ("", SERVICE_NAME):
            assert (await gateway.stub.Check(Check(service=service))).status == SERVING
        gateway.health.engine_ready(False)
        listed = await gateway.stub.List(health_pb2.HealthListRequest())
        assert {name: each.status for name, each in listed.statuses.items()} == {
            "": NOT_SERVING,
            SERVICE_NAME: NOT_SERVING,
        }
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.Check(Check(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watches_tell_changes_and_end_when_the_gateway_stops() -> None:
    async with running() as gateway:
        watch, other = gateway.stub.Watch(Check(service=SERVICE_NAME)), gateway.stub.Watch(Check(service="x"))
        assert (await watch.read()).status == SERVING
        assert (await other.read()).status == UNKNOWN
        gateway.health.engine_ready(False)
        assert (await watch.read()).status == NOT_SERVING
        gateway.health.engine_ready(True)
        assert (await watch.read()).status == SERVING
        gateway.health.stop()
        assert (await watch.read()).status == NOT_SERVING
        for each in (watch, other):
            assert await each.read() is grpc.aio.EOF
            assert await each.code() is grpc.StatusCode.OK


async def test_a_watch_does_not_look_like_work_in_progress() -> None:
    async with running() as gateway:
        watch = gateway.stub.Watch(Check())
        assert (await watch.read()).status == SERVING
        assert b'grpc_method="Watch"' not in gateway.metrics.render()
        watch.cancel()


@pytest.mark.parametrize("path", [CHECK, WATCH, INFO])
async def test_large_messages_are_refused(path: str) -> None:
    """Reflection would send them back, too."""
    async with running(CallLimits(check_bytes=100)) as gateway:
        call = gateway.opened(path)
        await call.write(bytes(101))
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "more than 100 bytes" in await call.details()


@pytest.mark.parametrize("path", [CHECK, WATCH])
async def test_a_check_whose_message_never_comes_ends_in_time(path: str) -> None:
    async with running(CallLimits(check_seconds=0.2)) as gateway:
        call = gateway.opened(path)
        with in_time(0.2):
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_who_sends_no_message_keeps_only_their_own_checks_waiting() -> None:
    limits = CallLimits(pending_checks=2, pending_checks_per_caller=1, check_seconds=20)
    async with running(limits) as gateway:
        silent = [gateway.opened(CHECK, "attacker") for _ in range(5)]
        assert await gateway.checked("somebody") == SERVING
        mine = asyncio.create_task(gateway.checked("attacker"))
        assert await gateway.checked("somebody") == SERVING
        assert not mine.done()
        for call in silent:
            call.cancel()
        assert await mine == SERVING


async def test_watches_are_bounded_and_leave_places_to_others() -> None:
    async with running(CallLimits(watches=4)) as gateway:
        metadata = (("who", "greedy"),)
        watches = [gateway.stub.Watch(Check(), metadata=metadata) for _ in range(3)]
        for watch in watches:
            assert (await watch.read()).status == SERVING
        refused = gateway.stub.Watch(Check(), metadata=metadata)
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        other = gateway.stub.Watch(Check(), metadata=(("who", "other"),))
        assert (await other.read()).status == SERVING
        assert await gateway.checked("greedy") == SERVING
        for watch in (*watches, other):
            watch.cancel()


def question(service: str = "") -> reflection_pb2.ServerReflectionRequest:
    if service:
        return reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
    return reflection_pb2.ServerReflectionRequest(list_services="")


async def test_reflection_tells_the_contract() -> None:
    async with running() as gateway:
        stub = reflection_pb2_grpc.ServerReflectionStub(gateway.channel)
        info = stub.ServerReflectionInfo()
        await info.write(question())
        services = (await info.read()).list_services_response.service
        assert {each.name for each in services} == {SERVICE_NAME, HEALTH, REFLECTION}
        await info.write(question(SERVICE_NAME))
        assert (await info.read()).file_descriptor_response.file_descriptor_proto
        await info.done_writing()
        assert await info.code() is grpc.StatusCode.OK


async def test_reflection_that_says_nothing_is_over_and_is_bounded() -> None:
    async with running(CallLimits(reflections_per_caller=1, check_seconds=20)) as gateway:
        silent = gateway.opened(INFO)
        await silent.write(question().SerializeToString())
        assert await silent.read()
        refused = gateway.opened(INFO)
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        other = gateway.opened(INFO, "other")
        await other.write(question().SerializeToString())
        assert await other.read()
        for call in (silent, other):
            call.cancel()
    async with running(CallLimits(check_seconds=0.2)) as gateway:
        silent = gateway.opened(INFO)
        assert await silent.code() is grpc.StatusCode.OK


async def test_what_fails_of_health_and_reflection_is_no_failure_of_rpcs() -> None:
    """Alerts compare failures with the RPCs that are counted; anybody could set them off without a key."""
    listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with running(CallLimits(reflections=1, reflections_per_caller=1)) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await gateway.stub.Check(Check(service="nobody"), timeout=30)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        held = gateway.opened(INFO)
        await held.write(listing)
        assert await held.read()
        assert await gateway.opened(INFO).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        page = gateway.metrics.render().decode()
        held.cancel()
    assert 'maskweave_shed_total{cause="checks"} 1.0' in page
    assert "maskweave_failures_total{" not in page
