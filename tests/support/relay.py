"""A relay between a browser and a gateway, which holds answers back or lets no WebSocket through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Relay:
    """A relay on a free port of the loopback.

    Args:
        target: URL of the gateway's HTTP port.

    Attributes:
        url: Where it listens.
        refuses_websockets: Whether requests for a WebSocket are refused, as some proxies do.
        websockets: How many requests for one have come.
    """

    def __init__(self, target: str) -> None:
        self.refuses_websockets = False
        self.websockets = 0
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._passes = threading.Event()
        self._passes.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Hold back all that the gateway says from now on."""
        self._passes.clear()

    def release(self) -> None:
        """Let it through."""
        self._passes.set()

    def close(self) -> None:
        """End it, and every connection through it."""
        self.release()
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                gateway = socket.create_connection(self._target)
                self._open |= {caller, gateway}
                threading.Thread(target=self._ask, args=(caller, gateway), daemon=True).start()
                threading.Thread(target=self._answer, args=(gateway, caller), daemon=True).start()

    def _ask(self, caller: socket.socket, gateway: socket.socket) -> None:
        with suppress(OSError), closing(gateway):
            while data := caller.recv(_CHUNK):
                # Browsers send the head of such a request in one piece.
                if b"\r\nupgrade: websocket\r\n" in data.lower():
                    self.websockets += 1
                    if self.refuses_websockets:
                        caller.sendall(_REFUSAL)
                        break
                gateway.sendall(data)
            gateway.shutdown(socket.SHUT_RDWR)

    def _answer(self, gateway: socket.socket, caller: socket.socket) -> None:
        with suppress(OSError), closing(caller):
            while data := gateway.recv(_CHUNK):
                self._passes.wait()
                caller.sendall(data)
            caller.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: str) -> Iterator[Relay]:
    """A relay to a gateway that is there inside this context."""
    running = Relay(target)
    try:
        yield running
    finally:
        running.close()
