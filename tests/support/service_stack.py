"""The service in this process, on an engine of the test's choice, and calls of it without a network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from service.access.callers import TrustedProxies, caller_address
from service.core.limits import LIMITS, CallLimits, Limits
from service.core.metrics import Metrics
from service.rpc.access import Access
from service.rpc.call import Call
from service.rpc.calls import Calls
from service.rpc.paint import PaintSessions
from service.rpc.service import SynthesisService
from service.scheduling.queue import RequestQueue
from service.synthesis.registry.registry import build_registry
from service.synthesis.runner import Runner
from tests.support.fake_engine import FakeEngine


@dataclass(frozen=True, slots=True)
class ServiceStack:
    """What answers calls, down to the engine."""

    service: SynthesisService
    calls: Calls
    queue: RequestQueue

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        self.service.add_to(server, self.calls)


def service_on(
    engine: FakeEngine,
    metrics: Metrics | None = None,
    *,
    concurrency_limit: int = 4,
    capacity: int = 4,
    call_limits: CallLimits = CallLimits(),  # noqa: B008 - frozen
    limits: Limits = LIMITS,
    access: Access | None = None,
) -> ServiceStack:
    """Put the service on an engine."""
    metrics = metrics or Metrics()
    registry = build_registry(engine.models())
    queue = RequestQueue(concurrency_limit=concurrency_limit, capacity=capacity)
    runner = Runner(engine, queue, metrics)
    sessions = PaintSessions(runner, registry, metrics, idle_seconds=30, frame_seconds=30, limits=limits)
    service = SynthesisService(runner, registry, sessions, max_message_bytes=2**20, limits=limits)
    return ServiceStack(service, Calls(metrics, call_limits, access, address=_who), queue)


def _who(peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Who calls: whoever they say, so that a test can be several."""
    return str(dict(metadata).get("who") or caller_address(peer, metadata, "", TrustedProxies()))


class FakeChannel:
    """The gRPC context of a call: gives messages, and keeps what is answered.

    Attributes:
        sent: What the call has answered.
    """

    def __init__(self, messages: Iterable[bytes]) -> None:
        self._messages = iter(messages)
        self.sent: list[bytes] = []

    async def read(self) -> Any:
        """The next message."""
        return next(self._messages, grpc.aio.EOF)

    async def write(self, message: bytes) -> None:
        """Take an answer."""
        self.sent.append(message)


def call_with(*messages: bytes, seconds: float = 60.0) -> tuple[Call, list[bytes]]:
    """A call that brings these messages, inside an event loop, and what will be answered."""
    channel: Any = FakeChannel(messages)
    deadline = asyncio.get_running_loop().time() + seconds
    call = Call("somebody", "r-1", deadline, started=time.perf_counter(), channel=channel)
    return call, channel.sent
