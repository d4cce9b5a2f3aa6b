"""The verb `maskweave health`: asks a gateway over gRPC whether it is ready, for health checks of containers.

It runs every few seconds beside a gateway that needs the processor, so it imports nothing of the service:
even the settings alone would double the time that it takes.
"""

from __future__ import annotations

import os

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEFAULT_PORT = 50051
"""The default of the setting `grpc_port`."""

# Where a gateway is found that listens on all addresses.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def default_address() -> str:
    """Where a gateway with this environment's settings is reached from the same machine."""
    host = os.environ.get("MASKWEAVE_GRPC_HOST", "127.0.0.1")
    host = _LOOPBACK.get(host, host)
    port = os.environ.get("MASKWEAVE_GRPC_PORT", DEFAULT_PORT)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@click.command()
@click.option(
    "--address",
    metavar="HOST:PORT",
    default=default_address,
    help="The gateway's gRPC address. "
    f"[default: of MASKWEAVE_GRPC_HOST and MASKWEAVE_GRPC_PORT, else 127.0.0.1:{DEFAULT_PORT}]",
)
@click.option("--service", default="", help="Full name of a gRPC service.  [default: the whole server]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
def health(address: str, service: str, timeout: float) -> None:
    """Ask a running gateway whether it is ready, by grpc.health.v1.

    Prints the status. Exits with 0 if that is SERVING, and with 1 if it is not or if nobody answers.
    """
    # Whatever proxy the environment names, it does not lead to the gateway beside us.
    options = (("grpc.enable_http_proxy", 0),)
    try:
        with grpc.insecure_channel(address, options) as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout
            )
    except grpc.RpcError as error:
        raise click.ClickException(_reason(error, address, service, timeout)) from None
    click.echo(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)


def _reason(error: grpc.RpcError, address: str, service: str, timeout: float) -> str:
    code, details = error.code(), " ".join((error.details() or "").split())
    match code:
        case grpc.StatusCode.NOT_FOUND:
            return f"{address} offers no service {service!r}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{address} did not answer within {timeout:g} s"
        case grpc.StatusCode.UNAVAILABLE:
            return f"{address} cannot be reached: {details}"
        case _:
            return f"{address} answered {code.name}: {details}"
