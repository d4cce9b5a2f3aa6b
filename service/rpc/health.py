"""The standard health service, and reflection: answered as other calls are, within small bounds of their own.

gRPC's own handlers of these would read messages of any size and number before anybody looks at the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from service.core.errors import NotFound
from service.rpc.admission import Kind
from service.rpc.call import Call, taking
from service.rpc.calls import Calls

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION = reflection.SERVICE_NAME

OVERALL = ""
"""The name under which the health of the whole server is asked."""

# A watch is told of the end by then, or its caller does not read.
_LAST_STATUS_SECONDS = 0.1


class GatewayHealth:
    """`grpc.health.v1.Health` for the gateway, which is either ready for all its services or for none.

    It is ready between `start` and `stop`, as long as its engine is. Belongs to one event loop.

    Args:
        services: Fully qualified names of the services, besides the server as a whole.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._names = (OVERALL, *services)
        self._started = False
        self._engine_ready = False
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the gateway is up and its engine can answer."""
        return self._started and self._engine_ready and not self._stopping.is_set()

    def engine_ready(self, ready: bool) -> None:
        """Take note that the engine can answer, or cannot."""
        self._engine_ready = ready
        self._tell()

    def start(self) -> None:
        """Report the gateway as ready from now on, whenever its engine is."""
        self._started = True
        self._tell()

    def stop(self) -> None:
        """Report the gateway as not ready, for good, and end all watches once they have been told."""
        self._stopping.set()
        self._tell()

    def add_to(self, server: grpc.aio.Server, calls: Calls) -> None:
        """Serve the methods, as calls of a gateway."""
        request = health_pb2.HealthCheckRequest
        calls.serve(
            server,
            HEALTH,
            {
                "Check": (Kind.CHECK, taking(request, self.check)),
                "List": (Kind.CHECK, taking(health_pb2.HealthListRequest, self.list)),
                "Watch": (Kind.WATCH, taking(request, self.watch)),
            },
        )

    async def check(self, call: Call, message: health_pb2.HealthCheckRequest) -> None:
        """Answer `Check`.

        Raises:
            NotFound: There is no such service.
        """
        if message.service not in self._names:
            raise NotFound("service", message.service, self._names[1:])
        await call.send(health_pb2.HealthCheckResponse(status=self._status).SerializeToString())

    async def list(self, call: Call, _: health_pb2.HealthListRequest) -> None:
        """Answer `List`: the status of every service."""
        status = health_pb2.HealthCheckResponse(status=self._status)
        reply = health_pb2.HealthListResponse(statuses=dict.fromkeys(self._names, status))
        await call.send(reply.SerializeToString())

    async def watch(self, call: Call, message: health_pb2.HealthCheckRequest) -> None:
        """Answer `Watch`: the status of a service and its changes, until the gateway stops."""
        watch = asyncio.create_task(self._tell_changes(call, message.service))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((watch, stopping), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((watch,), timeout=_LAST_STATUS_SECONDS)
        finally:
            stopping.cancel()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _tell_changes(self, call: Call, service: str) -> None:
        told = None
        while True:
            changed, stopping = self._changed, self._stopping.is_set()
            known = service in self._names
            status = self._status if known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                told = status
                await call.send(health_pb2.HealthCheckResponse(status=status).SerializeToString())
            if stopping:
                return
            await changed.wait()

    @property
    def _status(self) -> int:
        kinds = health_pb2.HealthCheckResponse
        return int(kinds.SERVING if self.ready else kinds.NOT_SERVING)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def add_reflection(server: grpc.aio.Server, calls: Calls, services: Iterable[str], *, idle: float) -> None:
    """Serve reflection, as calls of a gateway.

    Args:
        server: The server.
        calls: Its calls.
        services: What it tells of: fully qualified names.
        idle: Seconds without a message after which a stream is over.
    """
    servicer = reflection.aio.ReflectionServicer((*services, REFLECTION))

    async def answer(call: Call) -> None:
        replies = servicer.ServerReflectionInfo(_requests(call, idle), None)
        async with aclosing(replies):
            async for reply in replies:
                await call.send(reply.SerializeToString())

    calls.serve(server, REFLECTION, {"ServerReflectionInfo": (Kind.REFLECTION, answer)})


async def _requests(call: Call, idle: float) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    with suppress(TimeoutError):  # whoever has more to ask begins another stream
        request_type = reflection_pb2.ServerReflectionRequest
        while (request := await call.receive(request_type, within=idle)) is not None:
            yield request
            if call.memory is not None:
                call.memory.keep(0)
