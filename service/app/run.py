"""Runs a gateway until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal

import click

from service.app.example import grpcurl_line
from service.app.gateway import Gateway, running_gateway
from service.core.settings import Settings

_logger = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully. A second signal ends the process at once.

    Raises:
        MaskweaveError: The model repository cannot be served, or one of its models makes no pictures.
        ListenError: A port is taken or an address is not this machine's.
    """
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()

    def stop(received: signal.Signals) -> None:
        _logger.info(
            "stopping", extra={"signal": received.name, "grace_seconds": settings.stop_grace_seconds}
        )
        told_to_stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop, each)
    async with running_gateway(settings) as gateway:
        click.echo(_greeting(gateway))
        await told_to_stop.wait()
    _logger.info("stopped")


def _greeting(gateway: Gateway) -> str:
    model = next(iter(gateway.models.values()))
    return "\n".join(
        (
            f"gRPC     {gateway.grpc_address}",
            f"metrics  http://{gateway.http_address}/metrics",
            f"health   http://{gateway.http_address}/healthz",
            f"models   {', '.join(gateway.models)}",
            f"try      {grpcurl_line(gateway.grpc_address, model)}",
        )
    )
