"""Addresses to listen on, and what to say when that fails."""

from __future__ import annotations

import ipaddress
from typing import Literal


class ListenError(OSError):
    """An address cannot be listened on.

    Args:
        kind: Which of the gateway's ports.
        host: The address asked for.
        port: The port asked for.
        reason: What stands in the way.
    """

    def __init__(self, kind: Literal["grpc", "http"], host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {address_text(host, port)}: {reason}; "
            f"choose another with --{kind}-host and --{kind}-port"
        )


def address_text(host: str, port: int | str) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
