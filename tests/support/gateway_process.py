"""A real gateway in a process of its own, as users start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.forked_gateway import ForkedGateway
from tests.support.forked_python import FRESH_VARIABLE

# How long a test waits for what must come: it hangs if it takes longer, however busy the machine is.
PATIENCE_SECONDS = 60
_READY_SECONDS = 2 * PATIENCE_SECONDS
_STOP_SECONDS = PATIENCE_SECONDS

# Whatever proxy the tests' environment names, it does not lead to this machine.
_NO_PROXY = (("grpc.enable_http_proxy", 0),)
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Wait until something is so; if it does not come, fail with the complaint."""
    end, pause = time.monotonic() + PATIENCE_SECONDS, 0.01
    while not condition():
        assert time.monotonic() < end, complaint()
        time.sleep(pause)
        pause = min(
            1.5 * pause, 0.1
        )  # to look takes time from what is waited for: a page of metrics, milliseconds


class GatewayProcess:
    """A running `maskweave serve`.

    Args:
        repository: The model repository that it serves.
        settings: Its settings by name; ports are free ones.
        environment: Environment variables besides.
        before_exec: What is done in its process before it starts, for example setting a resource limit.
        fresh: Whether it is started as users start it. Otherwise it is forked, which takes a tenth of the
            time, but it shares memory. One with variables or something to do before is fresh in any case.
    """

    def __init__(
        self,
        repository: Path,
        settings: Mapping[str, object] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        before_exec: Callable[[], object] | None = None,
        fresh: bool = False,
    ) -> None:
        values = {"grpc_port": 0, "http_port": 0, "model_repository": repository, **(settings or {})}
        variables = {f"MASKWEAVE_{name.upper()}": str(value) for name, value in values.items()}
        variables = {**os.environ, **variables, **(environment or {})}
        self.process: subprocess.Popen[str] | ForkedGateway
        if fresh or environment or before_exec or FRESH_VARIABLE in os.environ:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maskweave_cli", "serve"],
                env=variables,
                preexec_fn=before_exec,  # noqa: PLW1509 - what it does is safe beside threads
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        else:
            self.process = ForkedGateway(["serve"], variables)
        self._lines: list[str] = []
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._told.wait(_READY_SECONDS)
        address = re.search(r"^gRPC +(\S+)$", self.output, re.MULTILINE)
        http = re.search(r"^metrics +(\S+)/metrics$", self.output, re.MULTILINE)
        if not (address and http):
            self.kill()
            raise AssertionError(f"the gateway did not start:\n{self.output}")
        self.address = address[1]
        self.http = http[1]

    @property
    def output(self) -> str:
        """What it has printed."""
        return "".join(self._lines)

    def get(self, path: str, accept: str = "*/*") -> str:
        """The body of a page of its HTTP port."""
        request = urllib.request.Request(self.http + path, headers={"Accept": accept})
        with _opener.open(request, timeout=PATIENCE_SECONDS) as reply:
            body: bytes = reply.read()
            return body.decode()

    def wait_for_metric(self, line: str) -> None:
        """Wait until `/metrics` has a line."""
        name, page = line.partition("{")[0], list[str]()

        def told() -> bool:
            page[:] = self.get("/metrics").splitlines()
            return line in page

        wait_until(told, lambda: f"{line!r} did not come: {[each for each in page if each.startswith(name)]}")

    def wait_for_output(self, text: str, times: int = 1) -> None:
        """Wait until it has printed a text so many times."""
        wait_until(lambda: self.output.count(text) >= times, lambda: f"{text!r} did not come:\n{self.output}")

    def metric(self, *names: str, **labels: str) -> float:
        """The sum of the samples of these names that have these labels; 0 where there is none yet."""
        samples = samples_of(self.get("/metrics"), names)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def wait_until_started(self, count: int, method: str) -> None:
        """Wait until so many calls of a method have come since the start, whatever has become of them."""
        wait_until(
            lambda: self.metric("grpc_server_started_total", grpc_method=method) >= count,
            lambda: f"{count} calls of {method} did not come",
        )

    def wait_until_in_flight(self, count: int, method: str = "Synthesize") -> None:
        """Wait until so many calls of a method are in progress."""
        self.wait_for_metric(f'maskweave_requests_in_flight{{grpc_method="{method}"}} {count}.0')

    def peers(self) -> set[str]:
        """The ends of the connections to its gRPC port, as the kernel has them."""
        port = f":{int(self.address.rpartition(':')[2]):04X}"
        tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
        rows = [line.split() for table in tables for line in table]
        established = "01"
        return {row[2] for row in rows if row[1].endswith(port) and row[3] == established}

    def terminate(self) -> None:
        """Ask it to stop, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(_STOP_SECONDS)
        self._close()
        return code

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if line.startswith("try "):  # the last line of the greeting
                self._told.set()
        self._told.set()

    def _close(self) -> None:
        self._reader.join(_STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()


def samples_of(page: str, names: Collection[str]) -> list[Sample]:
    """The samples of these names on a page of metrics, of which no other line is parsed."""
    lines = [line for line in page.splitlines() if line.startswith(tuple(names))]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [sample for family in families for sample in family.samples if sample.name in names]


def run_serve(*flags: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `maskweave serve` to its end, which must come by itself; output and errors are one text."""
    environment = {f"MASKWEAVE_{name.upper()}": str(value) for name, value in settings.items()}
    arguments = ["serve", *flags]
    process = ForkedGateway(arguments, {**os.environ, **environment})
    try:
        output = process.stdout.read()
        return subprocess.CompletedProcess(arguments, process.wait(_STOP_SECONDS), output)
    finally:
        process.kill()
        process.stdout.close()


@contextmanager
def gateway_process(
    repository: Path,
    environment: Mapping[str, str] | None = None,
    before_exec: Callable[[], object] | None = None,
    /,
    *,
    fresh: object = False,  # true or false; `object`, as callers pass dicts of settings along
    **settings: object,
) -> Iterator[GatewayProcess]:
    """A gateway that is up inside this context and stops cleanly at its end."""
    gateway = GatewayProcess(
        repository, settings, environment=environment, before_exec=before_exec, fresh=bool(fresh)
    )
    try:
        yield gateway
        if gateway.process.poll() is None:
            gateway.terminate()
            assert gateway.wait() == 0, gateway.output
    finally:
        gateway.kill()


@contextmanager
def channel_to(gateway: GatewayProcess) -> Iterator[grpc.Channel]:
    """A plain channel, without anything of the client library."""
    with grpc.insecure_channel(gateway.address, _NO_PROXY) as channel:
        yield channel
