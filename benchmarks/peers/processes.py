"""Servers in processes of their own, and what they take of the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.table import ROOT, SERVE, SERVERS, Peer
from benchmarks.ports import free_ports

_MARK = "PEER_RUN"
_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 15.0


class PeerFailedError(RuntimeError):
    """A server ended, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that was started.

    Attributes:
        address: `host:port`.
        process: Its first process.
        mark: In the environment of all of its processes.
        log: What it prints.
    """

    address: str
    process: subprocess.Popen[bytes]
    mark: str
    log: Path

    def cpu_seconds(self) -> float:
        """CPU time of all of its processes that are alive."""
        return sum(_cpu_seconds(pid) for pid in _marked(self.mark))

    def resident_bytes(self) -> int:
        """Proportional resident memory of all of its processes: what several share is counted once."""
        return sum(_resident(pid) for pid in _marked(self.mark))

    def check(self) -> None:
        """Raise when it has ended.

        Raises:
            PeerFailedError: With the end of what it printed.
        """
        if (code := self.process.poll()) is not None:
            raise PeerFailedError(
                f"ended with exit code {code}: {self.log.read_text(errors='replace')[-2000:]}"
            )


@contextmanager
def running(
    peer: Peer, plan: Path, *, repository: Path, workers: int, root: Path = ROOT, pack: str
) -> Iterator[Running]:
    """A server, until the end of the block. It may not be ready yet.

    Args:
        peer: Which.
        plan: Of the ensemble, see `plan.py`.
        repository: The model repository.
        workers: How many workers or threads it shall have.
        root: The checkout whose environment and code it runs.
        pack: Name of the pack, for those who do not read the plan.
    """
    ports = free_ports(3)
    environment = folder_of(peer, root) / "bin"
    values = {
        "python": str(environment / "python"),
        "bin": str(environment),
        "repository": str(repository),
        "workers": str(workers),
        **{f"port{index or ''}": str(port) for index, port in zip((0, 2, 3), ports, strict=True)},
    }
    mark = uuid.uuid4().hex
    paths = (SERVERS.parent, root, root / "proto" / "python")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PEER_PLAN": str(plan),
            "PEER_PORT": str(ports[0]),
            "PEER_WORKERS": str(workers),
            "PEER_PACK": pack,
            _MARK: mark,
            "PATH": f"{environment}{os.pathsep}{os.environ.get('PATH', '')}",
            **{name: value.format(**values) for name, value in peer.environ.items()},
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [part.format(**values) for part in peer.command],
                cwd=SERVERS,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(f"127.0.0.1:{ports[0]}", process, mark, log)
        finally:
            _stop(process, mark)


def folder_of(peer: Peer, root: Path = ROOT) -> Path:
    """Where a peer's environment is: the runner's own is that in which the gateway is served."""
    if peer.environment == SERVE and root == ROOT:
        return Path(sys.prefix)
    return root / ".venv" / peer.environment


def _stop(process: subprocess.Popen[bytes], mark: str) -> None:
    """Tell the first process to stop, then end whatever of the server is left."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    end = time.monotonic() + _STOP_SECONDS
    while (left := list(_marked(mark))) and time.monotonic() < end:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        time.sleep(0.05)


def _marked(mark: str) -> Iterator[int]:
    """Processes with the mark in their environment, however they were started."""
    wanted = f"{_MARK}={mark}".encode()
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                if wanted in (path / "environ").read_bytes().split(b"\0"):
                    yield int(path.name)


def _cpu_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _resident(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def environment_of(peer: Peer, root: Path = ROOT) -> Mapping[str, str]:
    """Versions of what a peer's environment has installed, by name, of what tells one server from another."""
    python = folder_of(peer, root) / "bin" / "python"
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    out = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(out)
    return {name: found[name] for name in sorted(found) if name.lower() in _TELLING}


_TELLING = frozenset(
    [
        "bentoml",
        "fastapi",
        "grpcio",
        "litserve",
        "maskweave",
        "mosec",
        "numpy",
        "nvidia-pytriton",
        "onnxruntime",
        "pillow",
        "ray",
        "torch",
        "uvicorn",
        "uvloop",
    ]
)
