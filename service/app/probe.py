"""How a gateway is reached from the machine it runs on: by its own settings, where it has its certificate.

The settings are looked up here once more and not read with `Settings`: a health check runs every few seconds
beside a gateway that needs the processor, and pydantic alone takes longer than all the rest of it. What reads
certificates is imported only with TLS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from service.app.listening import address_text, checked_host
from service.core.errors import ConfigurationError

if TYPE_CHECKING:
    from service.app.certificates import TlsPair

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 50051
DEFAULT_HTTP_PORT = 8080
"""The defaults of the settings `grpc_host`, and `http_host`, `grpc_port` and `http_port`."""

_PREFIX = "MASKWEAVE_"
_SETTINGS = (
    "grpc_host", "grpc_port", "http_host", "http_port", "tls_certificate", "tls_key", "tls_client_ca",
)  # fmt: skip

# Where a gateway is found that listens on all addresses.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LOCAL_FORM = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\]):\d+|unix:.+")

_CERTIFICATE_END = b"-----END CERTIFICATE-----"
_KEY_FORM = re.compile(r"[\x21-\x7e]+")


class ProbeError(ConfigurationError):
    """A file with which a gateway should be asked cannot be used."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """How to speak TLS with a gateway.

    Attributes:
        credentials: For the channel.
        server_name: Whose certificate to expect; None for the host of the address.
        trusts: The file that the gateway's certificate is checked against; None for gRPC's own authorities.
    """

    credentials: grpc.ChannelCredentials
    server_name: str | None
    trusts: Path | None


def gateway_settings() -> Mapping[str, str]:
    """What a gateway in this environment has set of its address and TLS: variables before `MASKWEAVE_CONFIG`.

    Raises:
        ProbeError: The file of `MASKWEAVE_CONFIG` cannot be read.
    """
    variables = {name.upper(): value for name, value in os.environ.items()}
    values = _read_config(Path(file)) if (file := variables.get(f"{_PREFIX}CONFIG")) else {}
    for name in _SETTINGS:
        if (variable := f"{_PREFIX}{name.upper()}") in variables:
            values[name] = variables[variable]
    return {name: value for name, value in values.items() if name in _SETTINGS and value}


def default_address(settings: Mapping[str, str]) -> str:
    """Where a gateway with these settings is reached from the same machine, as `host:port`."""
    return _local(settings.get("grpc_host", DEFAULT_HOST), settings.get("grpc_port", DEFAULT_PORT))


def default_http_address(settings: Mapping[str, str]) -> str:
    """Where its page of metrics is reached from the same machine, as `host:port`."""
    return _local(settings.get("http_host", DEFAULT_HOST), settings.get("http_port", DEFAULT_HTTP_PORT))


def _local(host: str, port: str | int) -> str:
    with suppress(ValueError):  # it would not start the gateway, and nobody can be reached there
        host = checked_host(host, unix=True)
    return address_text(_LOOPBACK.get(host, host), port)


def encryption(
    settings: Mapping[str, str],
    *,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    server_name: str | None = None,
) -> Encryption:
    """Speak TLS with a gateway.

    Its certificate is checked against `ca`; without that, it must be the very one that its own settings name,
    whatever that is for; without either, gRPC's own authorities must have issued it. The client certificate,
    where none is given, is the gateway's own if its settings ask callers for one.

    Args:
        settings: The gateway's own, as `gateway_settings` has them.
        ca: PEM file with authorities.
        certificate: PEM file with a client certificate.
        key: PEM file with its key.
        server_name: Whose certificate to expect, in place of the host of the address.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    own = _own_pair(settings)
    trusts, authorities = ca, None
    if ca is not None:
        authorities = _checked_authorities(ca)
    elif own is not None:
        trusts = Path(settings["tls_certificate"])
        authorities = b"".join((*own.certificate.partition(_CERTIFICATE_END)[:2], b"\n"))
        # None of its names need be that of the loopback; "*" stands for anything.
        server_name = server_name or next((name.replace("*", "any") for name in own.names), None)
    chain = private = None
    if certificate is not None and key is not None:
        chain, private = _checked_client(certificate, key)
    elif own is not None and "tls_client_ca" in settings:
        chain, private = own.certificate, own.key
    return Encryption(grpc.ssl_channel_credentials(authorities, private, chain), server_name, trusts)


def read_api_key(file: Path, address: str, *, encrypted: bool) -> str:
    """Read a key from a file that has nothing else.

    Raises:
        ProbeError: The file has no key, or whoever listens on the way to the address could read it.
    """
    key = _read(file).decode(errors="replace").strip()
    if not _KEY_FORM.fullmatch(key):
        raise ProbeError([f"{file}: is not one key; allowed: visible ASCII without spaces"])
    if not (encrypted or _LOCAL_FORM.fullmatch(address)):
        raise ProbeError([f"{file}: the key would be sent to {address} unencrypted; allowed: with --tls"])
    return key


def _own_pair(settings: Mapping[str, str]) -> TlsPair | None:
    if "tls_certificate" not in settings or "tls_key" not in settings:
        return None
    from service.app.certificates import TlsFiles, read_pair  # noqa: PLC0415

    return read_pair(TlsFiles(Path(settings["tls_certificate"]), Path(settings["tls_key"])))


def _checked_authorities(file: Path) -> bytes:
    from service.app.certificates import parse_certificates  # noqa: PLC0415

    content = _read(file)
    try:
        parse_certificates(content)
    except ValueError:
        raise ProbeError([f"{file}: has no certificate in PEM form"]) from None
    return content


def _checked_client(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    from service.app.certificates import parse_certificates, parse_key  # noqa: PLC0415

    content = _read(certificate), _read(key)
    try:
        parse_key(content[1], parse_certificates(content[0])[0])
    except ValueError:
        problem = f"{certificate}, {key}: cannot be used; allowed: a certificate and its key in PEM form"
        raise ProbeError([f"{problem}, the key without a password"]) from None
    return content


def _read_config(file: Path) -> dict[str, str]:
    import tomllib  # noqa: PLC0415 - most gateways have no such file

    try:
        values = tomllib.loads(_read(file).decode())
    except (ValueError, RecursionError) as error:
        raise ProbeError([f"{file}: is not TOML: {error}"]) from None
    return {name: str(value) for name, value in values.items()}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ProbeError([f"{file}: cannot be read: {error.strerror}"]) from None
