"""How the verbs reach a service: their options, and the client that these stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

# gRPC looks at this when it is imported; what it would print of a failed handshake is said in a line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import click
import grpc

from maskweave_client import Client, MaskweaveError, NotFound, Retry, Unauthenticated, Unavailable
from maskweave_client._channel import channel_options, check_api_key

API_KEY_VARIABLE = "MASKWEAVE_API_KEY"

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_RETRY = Retry(attempts=5, max_seconds=60)
"""Nobody looks at single calls of a command: it waits longer for a busy service than a program would."""

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--address",
        metavar="HOST:PORT",
        default="localhost:50051",
        envvar="MASKWEAVE_ADDRESS",
        show_default=True,
        show_envvar=True,
        help="The service's gRPC address.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        help="Seconds that one call may take.",
    ),
    click.option(
        "--tls/--no-tls", default=None, help="Speak TLS.  [default: with --ca, --certificate, --server-name]"
    ),
    click.option("--ca", type=_FILE, help="PEM file with the authorities of the service's certificate."),
    click.option(
        "--server-name", metavar="NAME", help="Whose certificate to expect, where it is not the address's."
    ),
    click.option("--certificate", type=_FILE, help="PEM file with a client certificate, for mutual TLS."),
    click.option("--key", type=_FILE, help="PEM file with the client certificate's key."),
    click.option(
        "--api-key-file",
        type=_FILE,
        help=f"File with an API key.  [default: the key in {API_KEY_VARIABLE}, if it is set]",
    ),
    click.option(
        "--allow-insecure-key",
        is_flag=True,
        help="Send the key without TLS to other machines too, where something else encrypts.",
    ),
)


def connection_options(command: Command) -> Command:
    """Give a command the options that `connected` takes."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


@contextmanager
def connected(
    *,
    address: str,
    timeout: float,
    tls: bool | None,
    ca: Path | None,
    server_name: str | None,
    certificate: Path | None,
    key: Path | None,
    api_key_file: Path | None,
    allow_insecure_key: bool,
) -> Iterator[Client]:
    """A client of the service that the options of `connection_options` name.

    Raises:
        click.ClickException: The options do not go together, a call in the block failed, or a file could not
            be read or written.
    """
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together")
    encrypted = bool(ca or certificate or server_name) if tls is None else tls
    if not encrypted and (ca or certificate or server_name):
        raise click.UsageError("--no-tls: allowed without --ca, --certificate and --server-name")
    api_key = api_key_file.read_text().strip() if api_key_file else os.environ.get(API_KEY_VARIABLE) or None
    try:
        check_api_key(api_key, address, encrypted=encrypted, allow_insecure=allow_insecure_key)
    except ValueError as error:
        message = str(error).replace("allow_insecure_key=True", "--allow-insecure-key")
        raise click.ClickException(message.replace("with credentials", "with --tls")) from None
    options: list[tuple[str, Any]] = [*channel_options(address, _RETRY)]
    if encrypted:
        if server_name:
            options.append(("grpc.ssl_target_name_override", server_name))
        pem = [None if each is None else each.read_bytes() for each in (ca, key, certificate)]
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*pem), options)
    else:
        channel = grpc.insecure_channel(address, options)
    with Client(address, channel=channel, api_key=api_key, timeout=timeout, retry=_RETRY) as client:
        try:
            yield client
        except MaskweaveError as error:
            raise click.ClickException(explained(error, address)) from error
        except OSError as error:
            if error.filename is None:  # of no file: a terminal that is gone, which click knows about
                raise
            raise click.ClickException(" ".join(str(error).split())) from error


def explained(error: MaskweaveError, address: str) -> str:
    """A failure for people, with what to do about it."""
    said = " ".join(str(error).split())
    if isinstance(error, Unavailable):
        return f"{address} cannot be reached (is a service running there? --address, --tls): {said}"
    if isinstance(error, Unauthenticated):
        return f"{said} (--api-key-file, or the variable {API_KEY_VARIABLE})"
    if isinstance(error, NotFound):
        return f"{said} (`maskweave models` lists what there is)"
    return said
