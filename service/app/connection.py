"""How commands reach a gateway over gRPC: their options, the channel, and why it does not work.

`maskweave health` runs every few seconds, so that this imports no more than `probe.py` does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

# gRPC looks at this when it is imported. What it would print of a failed handshake is said better below.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import click
import grpc
from grpc_health.v1 import health_pb2

from service.app.probe import Encryption, default_address, encryption, gateway_settings, read_api_key

Command = TypeVar("Command", bound=Callable[..., Any])

_PREFIX = "MASKWEAVE_HEALTH_"


def _file_option(name: str, what: str) -> Callable[[Command], Command]:
    variable = _PREFIX + name.strip("-").replace("-", "_").upper()
    return click.option(
        name,
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=variable,
        help=f"{what}  [{variable}]",
    )


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=3.0,
        show_default=True,
        help="Seconds to wait for the answer.",
    ),
    click.option(
        "--tls/--no-tls",
        default=None,
        help="Speak TLS.  [default: with MASKWEAVE_TLS_CERTIFICATE, --ca or --certificate]",
    ),
    _file_option(
        "--ca",
        "PEM file with the authorities of the gateway's certificate. Without it, the gateway must have the "
        "very certificate of MASKWEAVE_TLS_CERTIFICATE.",
    ),
    click.option(
        "--server-name",
        metavar="NAME",
        envvar=f"{_PREFIX}SERVER_NAME",
        help="Whose certificate to expect with --ca, where it is not that of the address's host.  "
        f"[{_PREFIX}SERVER_NAME]",
    ),
    _file_option(
        "--certificate",
        "PEM file with a client certificate, for mutual TLS. Without it, the gateway's own is shown where "
        "MASKWEAVE_TLS_CLIENT_CA is set.",
    ),
    _file_option("--key", "PEM file with the client certificate's key."),
    _file_option("--api-key-file", "File with an API key, where the gateway asks for one."),
)


def printable(text: str) -> str:
    """Text from somewhere else with what a terminal would obey spelt out; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def health_name(status: int) -> str:
    """A status of health as a word; one that is none as its number."""
    kinds = health_pb2.HealthCheckResponse.ServingStatus
    return str(kinds.Name(status)) if status in kinds.values() else str(status)


def connection_options(command: Command) -> Command:
    """Give a command the options that `connection` takes."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a gateway.

    Attributes:
        address: Its gRPC address.
        timeout: Seconds to wait for an answer.
        how: How to speak TLS; None for plaintext.
        metadata: Sent with every call.
    """

    address: str
    timeout: float
    how: Encryption | None
    metadata: tuple[tuple[str, str], ...]

    def channel(self) -> grpc.Channel:
        """A channel to it."""
        # Whatever proxy the environment names, it does not lead to the gateway beside us.
        options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
        if self.how is None:
            return grpc.insecure_channel(self.address, options)
        if self.how.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.how.server_name))
        return grpc.secure_channel(self.address, self.how.credentials, options)

    def reason(self, error: grpc.RpcError, *, service: str = "") -> str:
        """Why a call failed, in words for an operator."""
        code, details = error.code(), printable(" ".join((error.details() or "").split()))
        match code:
            case grpc.StatusCode.NOT_FOUND:
                return f"{self.address} offers no service {service!r}"
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"{self.address} did not answer within {self.timeout:g} s"
            case grpc.StatusCode.UNAVAILABLE:
                return self._unreachable(details)
            case grpc.StatusCode.UNAUTHENTICATED:
                return f"{self.address} asks for a key: {details} (--api-key-file)"
            case _:
                return f"{self.address} answered {code.name}: {details}"

    def _unreachable(self, details: str) -> str:
        """Say what stands between us and the gateway, where gRPC's words for it tell."""
        failed = f"{self.address} cannot be reached: {details}"
        if self.how is None:
            return f"{failed} (it may speak TLS: --tls, --ca)" if "Socket closed" in details else failed
        trusts = self.how.trusts or "the authorities that gRPC comes with"
        if "CERTIFICATE_VERIFY_FAILED" in details:
            reason = details.rpartition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK")
            return f"{self.address} has a certificate that cannot be verified with {trusts}: {reason}"
        if "Hostname Verification" in details:
            name = self.how.server_name or self.address.rpartition(":")[0].strip("[]")
            expected = "--server-name says whom to expect"
            return f"{self.address} has a certificate that is not for {name!r}; {expected}"
        if "WRONG_VERSION_NUMBER" in details:
            return f"{self.address} speaks no TLS (--no-tls)"
        if "Socket closed" in details:
            return f"{failed} (it may ask for a client certificate: --certificate, --key)"
        return failed


def connection(
    address: str | None,
    *,
    timeout: float,
    tls: bool | None,
    ca: Path | None,
    server_name: str | None,
    certificate: Path | None,
    key: Path | None,
    api_key_file: Path | None,
) -> Connection:
    """What the options of `connection_options` say.

    Args:
        address: The gRPC address; None for that of the gateway whose settings are in the environment.
        timeout: Seconds to wait for an answer.
        tls: Whether to speak TLS; None where that follows from the rest.
        ca: PEM file with authorities.
        server_name: Whose certificate to expect.
        certificate: PEM file with a client certificate.
        key: PEM file with its key.
        api_key_file: File with an API key.

    Raises:
        click.UsageError: They do not go together.
        ConfigurationError: A file cannot be used.
    """
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together")
    settings = gateway_settings()
    address = address or default_address(settings)
    if tls is None:
        tls = ca is not None or certificate is not None or "tls_certificate" in settings
    how = None
    if tls:
        how = encryption(settings, ca=ca, certificate=certificate, key=key, server_name=server_name)
    metadata: tuple[tuple[str, str], ...] = ()
    if api_key_file is not None:
        metadata = (("authorization", f"Bearer {read_api_key(api_key_file, address, encrypted=tls)}"),)
    return Connection(address, timeout, how, metadata)
