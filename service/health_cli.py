"""The verb `maskweave health`: asks a gateway over gRPC whether it is ready, for health checks of containers.

It runs every few seconds beside a gateway that needs the processor, so it imports little of the service: the
settings alone would double the time that it takes.
"""

from __future__ import annotations

from typing import Any

import click

from service.app.connection import connection, connection_options, health_name
from service.app.probe import DEFAULT_HOST, DEFAULT_PORT
from service.core.errors import ConfigurationError

# After `connection`, which tells gRPC before its import to print nothing.
import grpc  # isort: skip
from grpc_health.v1 import health_pb2, health_pb2_grpc  # isort: skip


@click.command()
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The gateway's gRPC address. "
    f"[default: of MASKWEAVE_GRPC_HOST and MASKWEAVE_GRPC_PORT, else {DEFAULT_HOST}:{DEFAULT_PORT}]",
)
@click.option("--service", default="", help="Full name of a gRPC service.  [default: the whole server]")
@connection_options
def health(address: str | None, service: str, **options: Any) -> None:
    """Ask a running gateway whether it is ready, by grpc.health.v1.

    Beside a gateway it needs no options: address and TLS are those of the gateway's settings, in the
    environment or in the file of MASKWEAVE_CONFIG.

    Prints the status. Exits with 0 if that is SERVING, and with 1 if it is not or if nobody answers.
    """
    try:
        gateway = connection(address, **options)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    try:
        with gateway.channel() as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service),
                timeout=gateway.timeout,
                metadata=gateway.metadata,
            )
    except grpc.RpcError as error:
        raise click.ClickException(gateway.reason(error, service=service)) from None
    click.echo(health_name(reply.status))
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)
