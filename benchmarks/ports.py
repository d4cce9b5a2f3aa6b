"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack
from pathlib import Path

_LOWEST = 10240
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on, drawn below those that the kernel gives to connections and to port 0.

    Those it hands out could be taken by any process before the server that is meant to have it has started.

    Args:
        count: How many.
        host: Whose address shall be free.

    Raises:
        OSError: `host` is no address of this machine.
    """
    highest = int(_RANGE.read_text().split()[0]) - 1
    draw = random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            port = draw.randint(_LOWEST, highest)
            if port not in ports and _is_free(stack.enter_context(socket.socket()), host, port):
                ports.append(port)
    return ports


def _is_free(attempt: socket.socket, host: str, port: int) -> bool:
    try:
        attempt.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True
