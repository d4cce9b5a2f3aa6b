"""Real gateways that come and go behind one name, as behind a headless Service: DNS tells who is ready."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ports import free_ports
from tests.support.gateway_process import GatewayProcess

NAME = "gateways.test"
_A, _IN, _SECONDS_KNOWN = 1, 1, 0


class Names:
    """A DNS server that knows one name, on a port of its own.

    Attributes:
        addresses: What the name stands for.
    """

    def __init__(self) -> None:
        self.addresses: Sequence[str] = ()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(60)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035, section 4: the question again, and an A record for each address."""
        end = question.index(b"\0", 12) + 1
        kind = struct.unpack_from(">H", question, end)[0]
        found = self.addresses if kind == _A else ()
        header = question[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", _A, _IN, _SECONDS_KNOWN, 4) + socket.inet_aton(each)
            for each in found
        )
        return header + question[12 : end + 4] + records


class Fleet:
    """Gateways on addresses of the loopback, all on one port.

    Args:
        repository: What they serve.
        settings: Their settings.
        changed: Called with the `host:port` of the metrics of all that are ready, when those change.
    """

    def __init__(
        self,
        repository: Path,
        settings: Mapping[str, object],
        changed: Callable[[Sequence[str]], None],
    ) -> None:
        self.names = Names()
        self.exit_codes: list[int] = []
        self._repository, self._settings, self._changed = repository, settings, changed
        self._ready: dict[str, GatewayProcess] = {}
        self._number = 0
        (self._port,) = free_ports(1, "127.0.1.1")

    @property
    def target(self) -> str:
        """What a client connects to: the name, and who knows it."""
        return f"dns://127.0.0.1:{self.names.port}/{NAME}:{self._port}"

    @property
    def size(self) -> int:
        """How many are ready."""
        return len(self._ready)

    @property
    def ready(self) -> Sequence[GatewayProcess]:
        """Those that are ready, the oldest first."""
        return tuple(self._ready.values())

    def start_one(self) -> None:
        """Start a gateway; it is found once it is ready."""
        self._number += 1
        address = f"127.0.1.{self._number}"
        settings = {**self._settings, "grpc_host": address, "grpc_port": self._port}
        self._ready[address] = GatewayProcess(self._repository, settings)
        self._publish()

    def stop_one(self) -> None:
        """Take the newest gateway away: it is not found any more, and told to stop."""
        gateway = self._ready.pop(list(self._ready)[-1])
        self._publish()
        gateway.terminate()
        self.exit_codes.append(gateway.wait())

    def close(self) -> None:
        """End all."""
        while self._ready:
            self.stop_one()
        self.names.close()

    def _publish(self) -> None:
        self.names.addresses = tuple(self._ready)
        self._changed([each.http.removeprefix("http://") for each in self._ready.values()])


@contextmanager
def fleet(
    repository: Path, settings: Mapping[str, object], changed: Callable[[Sequence[str]], None]
) -> Iterator[Fleet]:
    """A fleet that is ended with this context."""
    running = Fleet(repository, settings, changed)
    try:
        yield running
    finally:
        running.close()
