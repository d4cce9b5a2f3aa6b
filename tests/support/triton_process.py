"""A real Triton in a process of its own, as `make triton` starts it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tests.support.gateway_process import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
_READY_SECONDS = 2 * PATIENCE_SECONDS
_STOP_SECONDS = PATIENCE_SECONDS
_STARTS = 6
_CRASH = "boost::interprocess::lock_exception"
"""What Triton's Python backend now and then ends Triton with while it starts: ten seconds after it began to
load, a race of its own on the shared memory of a model's process, with no part of ours in it. Seen in one
start of some hundred on a quiet machine, and several times in a row on a busy one."""
# Below those that the kernel gives to who asks for any port: none is taken by others between two starts.
_PORT_RANGE = range(20_000, 32_000)
_PORTS = ("grpc", "http", "metrics")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TritonProcess:
    """A Triton on free ports, which it keeps when it is started again.

    Args:
        repository: The model repository that it serves.
        options: Further options of tritonserver.
    """

    def __init__(self, repository: Path, options: Sequence[str] = ()) -> None:
        self.repository = repository
        self._options = options
        self._reserved = [ReservedPort() for _ in _PORTS]
        self._ports = {name: each.port for name, each in zip(_PORTS, self._reserved, strict=True)}
        self._log = tempfile.NamedTemporaryFile(prefix="triton-", suffix=".log")  # noqa: SIM115 - closed below
        self._read, self._begun = 0, Counter[bytes]()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of its gRPC port."""
        return f"127.0.0.1:{self._ports['grpc']}"

    @property
    def output(self) -> str:
        """What it has printed since it was first started."""
        return Path(self._log.name).read_text(errors="replace")

    def start(self, starts: int = _STARTS) -> None:
        """Start it, and wait until it is ready.

        Args:
            starts: how often it may crash as described at `_CRASH` and be started again, this start included.
        """
        self.process = subprocess.Popen(
            [
                str(ROOT / ".venv" / "triton" / "bin" / "python"),
                str(ROOT / "tests" / "triton" / "server.py"),
                f"--model-repository={self.repository}",
                *(f"--{name}-port={port}" for name, port in self._ports.items()),
                "--exit-seconds=1",
                "--model-load-thread-count=1",  # processes that start side by side only slow one another down
                "--metrics-interval-ms=100",  # of gauges, for which tests wait; two seconds otherwise
                *self._options,
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait_until_ready(starts)

    def kill(self) -> None:
        """End it as a crash would, and what the stand-in's processes would leave behind after one."""
        if self.process is None:
            return
        shared = _shared_memory(self.process.pid)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for region in shared:
            region.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        """End it and drop its log."""
        self.kill()
        self._log.close()
        for each in self._reserved:
            each.release()

    def get(self, path: str) -> str:
        """The body of a page of its HTTP port."""
        return self._get("http", path)

    def statistics(self, model: str) -> dict[str, Any]:
        """What it has counted for a model."""
        reply = json.loads(self.get(f"/v2/models/{model}/stats"))
        statistics: dict[str, Any] = reply["model_stats"][0]
        return statistics

    def count(self, model: str, field: str) -> int:
        """A number of a model's statistics, when it stands still: Triton answers before it counts."""
        found = -1
        while (now := int(self.statistics(model)[field])) != found:
            found = now
            time.sleep(0.1)
        return found

    def wait_for_count(self, model: str, field: str, value: int) -> None:
        """Wait until a number of a model's statistics is what it should be, and stays so."""
        wait_until(
            lambda: self.count(model, field) >= value, lambda: f"{field} of {model} does not come to {value}"
        )
        found = self.count(model, field)
        assert found == value, f"{field} of {model} is {found}, not {value}"

    def metric(self, name: str, model: str) -> float:
        """A number that it publishes for a model."""
        line = re.search(
            rf'^{name}{{model="{model}",version="1"}} (\S+)$', self._get("metrics", "/metrics"), re.M
        )
        assert line, f"no {name} of {model}"
        return float(line[1])

    def wait_for_metric(self, name: str, model: str, value: float) -> None:
        """Wait until a number is what it should be; Triton renews gauges now and then."""
        wait_until(lambda: self.metric(name, model) == value, lambda: f"{name} of {model} is not {value}")

    def executions_begun(self, model: str) -> int:
        """How often it has begun to run a model, by its log, which `--log-verbose=1` makes long enough."""
        with Path(self._log.name).open("rb") as log:
            log.seek(self._read)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._begun.update(re.findall(rb'"model (\S+), instance \1_0_0, executing ', whole))
        return self._begun[model.encode()]

    def wait_until_begun(self, model: str, count: int) -> None:
        """Wait until it has begun to run a model so often."""
        wait_until(
            lambda: self.executions_begun(model) >= count,
            lambda: f"{model} was begun {self.executions_begun(model)} times, not {count}",
        )

    def _get(self, port: str, path: str) -> str:
        with _opener.open(f"http://127.0.0.1:{self._ports[port]}{path}", timeout=PATIENCE_SECONDS) as reply:
            body: bytes = reply.read()
            return body.decode()

    def _wait_until_ready(self, starts: int) -> None:
        assert self.process is not None
        before = self.output.count(_CRASH)
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("/v2/health/ready")
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return
        if starts == 1 or self.output.count(_CRASH) == before:
            raise AssertionError(f"Triton did not start:\n{self.output}")
        self.kill()
        self.start(starts - 1)


@contextmanager
def triton_process(repository: Path, *options: str) -> Iterator[TritonProcess]:
    """A Triton that is ready inside this context."""
    triton = TritonProcess(repository, options)
    try:
        triton.start()
        yield triton
    finally:
        triton.close()


def _shared_memory(pid: int) -> set[Path]:
    """The files in /dev/shm through which a server talks to its backends' processes."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:  # it has ended, and removed them
        return set()
    return {Path(path) for path in re.findall(r"/dev/shm/\S+", maps)}


class ReservedPort:
    """A port that no other test of this machine takes until it is released, whether something listens or not.

    Attributes:
        port: Its number.
    """

    def __init__(self) -> None:
        for self.port in random.SystemRandom().sample(_PORT_RANGE, len(_PORT_RANGE)):
            self._lock = FileLock(Path(tempfile.gettempdir()) / f"maskweave-port-{self.port}.lock")
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                continue
            if _is_free(self.port):
                return
            self._lock.release()
        raise AssertionError("no port is free")

    def release(self) -> None:
        """Leave it to others."""
        self._lock.release()


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
