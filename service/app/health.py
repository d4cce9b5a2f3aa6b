"""The standard health service, with an end to its watches when the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

OVERALL = ""
"""The name under which the health of the whole server is asked."""


class GatewayHealth(health.aio.HealthServicer):  # type: ignore[misc] # has no types
    """`grpc.health.v1.Health` for the gateway, which is either ready for all its services or for none.

    It is ready between `start` and `stop`, as long as its engine is.

    Args:
        services: Fully qualified names of the services, besides the server as a whole.
    """

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._names = (OVERALL, *services)
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._engine_ready = False
        self._reporting: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the gateway is up and its engine can answer."""
        return self._reporting is not None and self._engine_ready and not self._stopping.is_set()

    def engine_ready(self, ready: bool) -> None:
        """Take note that the engine can answer, or cannot."""
        self._engine_ready = ready
        self._changed.set()

    async def start(self) -> None:
        """Report the gateway as ready from now on, whenever its engine is."""
        self._reporting = asyncio.create_task(self._report_changes())
        await self._report()

    async def stop(self) -> None:
        """Report the gateway as not ready, for good, and end all watches once they have been told."""
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = None
        await self._report()
        self._stopping.set()

    async def _report_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._report()

    async def _report(self) -> None:
        status = health_pb2.HealthCheckResponse
        await self._set_all(status.SERVING if self.ready else status.NOT_SERVING)

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Send the status of a service and its changes.

        The library's watch never ends, so that each would hold up the server's stop for the whole grace.
        """
        watch = asyncio.create_task(super().Watch(request, context))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((watch, stopping), return_when=asyncio.FIRST_COMPLETED)
            # The watch was woken by the change to NOT_SERVING before this was; let it send that.
            await asyncio.wait((watch,), timeout=0.1)
        finally:
            stopping.cancel()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _set_all(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in self._names:
            await self.set(name, status)
