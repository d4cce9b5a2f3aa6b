"""How many connections each port takes: the limit of file descriptors, divided.

With all of them taken at one port, nobody could look at the gateway at the other, and no file be reloaded.
"""

from __future__ import annotations

import resource
from typing import NamedTuple

MOST = 8192
"""Connections to the gRPC port at a time, at most. One takes 16 KiB, whatever its caller has to show."""

MOST_HTTP = 1024
"""Connections to the HTTP port at a time, at most."""

# For models, files, traces and inference servers.
_OTHERS = 64


class ConnectionLimits(NamedTuple):
    """Connections at a time.

    Attributes:
        grpc: To the gRPC port.
        http: To the HTTP port.
    """

    grpc: int
    http: int


def connection_limits() -> ConnectionLimits:
    """What this process's limit of file descriptors leaves for connections."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return ConnectionLimits(MOST, MOST_HTTP)
    http = min(limit // 4, MOST_HTTP)
    return ConnectionLimits(max(1, min(limit - http - min(_OTHERS, limit // 4), MOST)), max(1, http))
