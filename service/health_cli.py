"""The verb `maskweave health`: asks a gateway over gRPC whether it is ready, for health checks of containers.

It runs every few seconds beside a gateway that needs the processor, so it imports little of the service: the
settings alone would double the time that it takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# gRPC looks at this when it is imported. What it would print of a failed handshake is said better below.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.app.probe import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    Encryption,
    default_address,
    encryption,
    gateway_settings,
    read_api_key,
)
from service.core.errors import ConfigurationError


def _file_option(name: str, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    variable = "MASKWEAVE_HEALTH_" + name.strip("-").replace("-", "_").upper()
    return click.option(
        name,
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=variable,
        help=f"{what}  [{variable}]",
    )


@click.command()
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="The gateway's gRPC address. "
    f"[default: of MASKWEAVE_GRPC_HOST and MASKWEAVE_GRPC_PORT, else {DEFAULT_HOST}:{DEFAULT_PORT}]",
)
@click.option("--service", default="", help="Full name of a gRPC service.  [default: the whole server]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@click.option(
    "--tls/--no-tls",
    default=None,
    help="Speak TLS.  [default: with MASKWEAVE_TLS_CERTIFICATE, --ca or --certificate]",
)
@_file_option(
    "--ca",
    "PEM file with the authorities of the gateway's certificate. Without it, the gateway must have the very "
    "certificate of MASKWEAVE_TLS_CERTIFICATE.",
)
@click.option(
    "--server-name",
    metavar="NAME",
    envvar="MASKWEAVE_HEALTH_SERVER_NAME",
    help="Whose certificate to expect with --ca, where it is not that of the address's host.  "
    "[MASKWEAVE_HEALTH_SERVER_NAME]",
)
@_file_option(
    "--certificate",
    "PEM file with a client certificate, for mutual TLS. Without it, the gateway's own is shown where "
    "MASKWEAVE_TLS_CLIENT_CA is set.",
)
@_file_option("--key", "PEM file with the client certificate's key.")
@_file_option("--api-key-file", "File with an API key, where health checks need one.")
def health(
    address: str | None,
    service: str,
    timeout: float,
    tls: bool | None,
    ca: Path | None,
    server_name: str | None,
    certificate: Path | None,
    key: Path | None,
    api_key_file: Path | None,
) -> None:
    """Ask a running gateway whether it is ready, by grpc.health.v1.

    Beside a gateway it needs no options: address and TLS are those of the gateway's settings, in the
    environment or in the file of MASKWEAVE_CONFIG.

    Prints the status. Exits with 0 if that is SERVING, and with 1 if it is not or if nobody answers.
    """
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together")
    try:
        settings = gateway_settings()
        address = address or default_address(settings)
        if tls is None:
            tls = ca is not None or certificate is not None or "tls_certificate" in settings
        how = (
            encryption(settings, ca=ca, certificate=certificate, key=key, server_name=server_name)
            if tls
            else None
        )
        metadata: tuple[tuple[str, str], ...] = ()
        if api_key_file is not None:
            metadata = (("authorization", f"Bearer {read_api_key(api_key_file, address, encrypted=tls)}"),)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    try:
        with _channel(address, how) as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout, metadata=metadata
            )
    except grpc.RpcError as error:
        raise click.ClickException(_reason(error, address, service, timeout, how)) from None
    click.echo(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)


def _channel(address: str, how: Encryption | None) -> grpc.Channel:
    # Whatever proxy the environment names, it does not lead to the gateway beside us.
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    if how is None:
        return grpc.insecure_channel(address, options)
    if how.server_name is not None:
        options.append(("grpc.ssl_target_name_override", how.server_name))
    return grpc.secure_channel(address, how.credentials, options)


def _reason(error: grpc.RpcError, address: str, service: str, timeout: float, how: Encryption | None) -> str:
    code, details = error.code(), " ".join((error.details() or "").split())
    match code:
        case grpc.StatusCode.NOT_FOUND:
            return f"{address} offers no service {service!r}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{address} did not answer within {timeout:g} s"
        case grpc.StatusCode.UNAVAILABLE:
            return _unreachable(address, details, how)
        case grpc.StatusCode.UNAUTHENTICATED:
            return f"{address} asks for a key: {details} (--api-key-file)"
        case _:
            return f"{address} answered {code.name}: {details}"


def _unreachable(address: str, details: str, how: Encryption | None) -> str:
    """Say what stands between us and the gateway, where gRPC's words for it tell."""
    failed = f"{address} cannot be reached: {details}"
    if how is None:
        return f"{failed} (it may speak TLS: --tls, --ca)" if "Socket closed" in details else failed
    trusts = how.trusts or "the authorities that gRPC comes with"
    if "CERTIFICATE_VERIFY_FAILED" in details:
        reason = details.rpartition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK")
        return f"{address} has a certificate that cannot be verified with {trusts}: {reason}"
    if "Hostname Verification" in details:
        name = how.server_name or address.rpartition(":")[0].strip("[]")
        return f"{address} has a certificate that is not for {name!r}; --server-name says whom to expect"
    if "WRONG_VERSION_NUMBER" in details:
        return f"{address} speaks no TLS (--no-tls)"
    if "Socket closed" in details:
        return f"{failed} (it may ask for a client certificate: --certificate, --key)"
    return failed
