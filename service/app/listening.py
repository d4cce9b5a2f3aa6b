"""Addresses to listen on: their forms, and what to say when listening fails."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import stat
from pathlib import Path
from typing import Literal

_UNIX = "unix:"

# What the kernel has room for, without the byte that ends it.
_MAX_SOCKET_PATH_BYTES = 107

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9_-]+)*\.?")

_LIVE_SECONDS = 1.0


class ListenError(OSError):
    """An address cannot be listened on.

    Args:
        kind: Which of the gateway's ports.
        host: The address asked for.
        port: The port asked for.
        reason: What stands in the way.
    """

    def __init__(self, kind: Literal["grpc", "http"], host: str, port: int, reason: str) -> None:
        another = f"--{kind}-host" if host.startswith(_UNIX) else f"--{kind}-host and --{kind}-port"
        super().__init__(
            f"cannot listen on {address_text(host, port)}: {reason}; choose another with {another}"
        )


def checked_host(host: str, *, unix: bool) -> str:
    """A host to listen on in the form that the service uses: IPv6 without brackets, `unix:` and a full path.

    Args:
        host: An IP address, a host name, an IPv6 address in brackets, or `unix:/path` (also `unix:///path`).
        unix: Whether a Unix socket is allowed.

    Raises:
        ValueError: It is none of these; the text says what it is and what is allowed.
    """
    allowed = "allowed: an address or a name without a port" + (", or unix:/path" if unix else "")
    if host.startswith(("unix:", "unix-abstract:")):
        if not unix:
            raise ValueError(f"got {host!r}, a Unix socket; {allowed}")
        return _checked_socket(host, allowed)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        pass
    else:
        if bare == host or address.version == 6:
            return bare
    if _HOST_NAME.fullmatch(host) and not re.fullmatch(r"[0-9.]+", host):
        return host
    if re.fullmatch(r"(?:[^:]+|\[.*\]):\d+", host):
        raise ValueError(f"got {host!r}, which has a port; {allowed}: the port is a setting of its own")
    raise ValueError(f"got {host!r}; {allowed}")


def _checked_socket(host: str, allowed: str) -> str:
    if not host.startswith(_UNIX):
        raise ValueError(f"got {host!r}: abstract sockets have no permissions; {allowed}")
    path = host.removeprefix(_UNIX)
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"got {host!r}; {allowed}, with a full path")
    if len(path.encode()) > _MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"got {host!r}; {allowed}, with a path of at most {_MAX_SOCKET_PATH_BYTES} bytes")
    return _UNIX + path


def address_text(host: str, port: int | str) -> str:
    """`host:port`, with an IPv6 address in brackets; a Unix socket as it is, since it has no port."""
    if host.startswith(_UNIX):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_local(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    if host.startswith(_UNIX):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_socket(host: str) -> None:
    """Make sure that a Unix socket can be listened on without harm to others. Does nothing for other hosts.

    gRPC deletes a socket that is in the way, whether a process that has died left it or one that lives
    listens on it.

    Raises:
        ListenError: Another process listens on it, or something that is no socket is in its place, or its
            directory is missing or may not be written.
    """
    if not host.startswith(_UNIX):
        return
    path = Path(host.removeprefix(_UNIX))
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ListenError("grpc", host, 0, "a file that is not a socket is there")
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ListenError("grpc", host, 0, f"there is no directory {path.parent}") from None
        return
    except (NotADirectoryError, PermissionError) as error:
        raise ListenError("grpc", host, 0, error.strerror or str(error)) from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_LIVE_SECONDS)
        result = probe.connect_ex(str(path))
    if result != errno.ECONNREFUSED:  # what nobody listens on is left over, and gRPC deletes it
        raise ListenError("grpc", host, 0, "another process listens on it")
