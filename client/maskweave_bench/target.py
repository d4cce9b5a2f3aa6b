"""What is measured: addresses, encryption and keys, and the channels to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio

_LOOPBACK = re.compile(r"(?:.*[/:])?(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_KEY_FORM = re.compile(r"[\x21-\x7e]+")
_MAX_MESSAGE_BYTES = 64 * 2**20


class TargetError(ValueError):
    """A target is not given as it must be."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption; certificates and keys as PEM.

    Attributes:
        root: Certificates that are trusted; None for the system's.
        certificate: The client's own, for services that ask for one.
        private_key: Its key.
        server_name: The name that the service's certificate is for, if not the address.
    """

    root: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A service, or a fleet of them.

    Attributes:
        name: In tables and charts.
        addresses: `host:port` of each; requests go to them in turn.
        tls: None for connections without encryption.
        api_key: Sent with every request.
        metrics_urls: Pages of Prometheus metrics, of the gateways and of their Tritons.
        connections: To each address.
    """

    name: str
    addresses: tuple[str, ...]
    tls: Tls | None = None
    api_key: str | None = field(default=None, repr=False)
    metrics_urls: tuple[str, ...] = ()
    connections: int = 1

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Sent with every request."""
        return () if self.api_key is None else (("authorization", f"Bearer {self.api_key}"),)

    def channels(self) -> list[grpc.aio.Channel]:
        """Channels to all addresses, `connections` to each, on the running event loop."""
        return [
            self._channel(address, number) for number in range(self.connections) for address in self.addresses
        ]

    def _channel(self, address: str, number: int) -> grpc.aio.Channel:
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            # What is refused is counted, not asked again in silence.
            ("grpc.enable_retries", 0),
            # A name with several addresses, as a headless Service of Kubernetes has.
            ("grpc.lb_policy_name", "round_robin"),
            # Each channel has a connection of its own.
            ("grpc.use_local_subchannel_pool", 1),
            ("maskweave.connection", number),
        ]
        if _LOOPBACK.fullmatch(address):
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is None:
            return grpc.aio.insecure_channel(address, options)
        if self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        credentials = grpc.ssl_channel_credentials(self.tls.root, self.tls.private_key, self.tls.certificate)
        return grpc.aio.secure_channel(address, credentials, options)


def parse_target(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and addresses of `[NAME=]HOST:PORT[,HOST:PORT...]`; without a name, the first address is it.

    Raises:
        TargetError: It is something else.
    """
    name, equals, rest = text.rpartition("=")
    addresses = tuple(part.strip() for part in rest.split(","))
    if not all(addresses) or any(re.search(r"\s", address) for address in addresses):
        raise TargetError(f"target: got {text!r}; allowed: [NAME=]HOST:PORT[,HOST:PORT...]")
    if equals and not _NAME.fullmatch(name):
        raise TargetError(
            f"target: got the name {name!r}; allowed: up to 40 letters, digits, spaces and . _ -, "
            "the first a letter or digit"
        )
    return name or addresses[0], addresses


def check(targets: Sequence[Target], *, allow_insecure_key: bool) -> None:
    """Refuse targets of one name, and a key that whoever listens on the way could read.

    Raises:
        TargetError: It is one of these. The message does not have the key.
    """
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise TargetError(f"target: got the name {name!r} twice; give each a name of its own")
    for target in targets:
        if target.api_key is None:
            continue
        if not _KEY_FORM.fullmatch(target.api_key):
            raise TargetError("API key: got something that is no key; allowed: visible ASCII without spaces")
        open_ways = [address for address in target.addresses if not _LOOPBACK.fullmatch(address)]
        if target.tls is None and open_ways and not allow_insecure_key:
            raise TargetError(
                f"API key: would be sent to {open_ways[0]} unencrypted; allowed: with --tls, to this "
                "machine, or with --allow-insecure-key where something else encrypts"
            )
