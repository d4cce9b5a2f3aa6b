"""A gateway in a process of its own on this machine, for as long as a block of code runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Far more than a busy machine needs: a gateway that takes longer hangs, and its threads are printed.
READY_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 60.0


class ServiceFailedError(RuntimeError):
    """The gateway did not become ready, or did not stop as it should."""


@dataclass(frozen=True, slots=True)
class LocalService:
    """A gateway that is ready.

    Attributes:
        address: `host:port` of its gRPC server.
        metrics_url: Where it serves Prometheus metrics.
        started: `time.perf_counter()` at the start of its process.
        seconds_to_ready: From then to the first healthy answer.
        pid: Of its process.
    """

    address: str
    metrics_url: str
    started: float
    seconds_to_ready: float
    pid: int


@contextmanager
def local_service(settings: Mapping[str, str] | None = None) -> Iterator[LocalService]:
    """Start `maskweave serve` on free loopback ports, wait until it is healthy, and stop it at the end.

    Args:
        settings: Further settings of the service by their names without `MASKWEAVE_`, for example
            `{"MODEL_REPOSITORY": "model_repository"}`.

    Yields:
        The running service.

    Raises:
        ServiceFailedError: When it ends or stays unhealthy instead of becoming ready, or does not stop in
            time. The message ends with what the service printed.
    """
    # The gateway chooses its ports and prints them: a port chosen here could be taken before it starts.
    own = {"GRPC_HOST": "127.0.0.1", "GRPC_PORT": "0", "HTTP_HOST": "127.0.0.1", "HTTP_PORT": "0"}
    environment = {f"MASKWEAVE_{name}": value for name, value in {**(settings or {}), **own}.items()}
    # Compiling the modules at each start took half as long again; a deployed gateway finds them compiled.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "maskweave_cli", "serve"],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + READY_TIMEOUT_SECONDS
            address, metrics_url = _addresses(process, log, deadline)
            _wait_until_healthy(process, address, deadline)
            yield LocalService(
                address=address,
                metrics_url=metrics_url,
                started=started,
                seconds_to_ready=time.perf_counter() - started,
                pid=process.pid,
            )
            _stop(process)
        except ServiceFailedError as error:
            raise ServiceFailedError(
                f"{error}; it printed:\n{_printed(log).strip() or '(nothing)'}"
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _printed(log: BinaryIO) -> str:
    """What it has printed; it goes on writing where it was."""
    return os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")


def _addresses(process: subprocess.Popen[bytes], log: BinaryIO, deadline: float) -> tuple[str, str]:
    """Of its gRPC server and its page of metrics, as soon as it has printed them."""
    while True:
        over = _is_over(process, deadline)
        printed = _printed(log)
        grpc_server = re.search(r"^gRPC +(\S+)$", printed, re.MULTILINE)
        metrics = re.search(r"^metrics +(\S+)$", printed, re.MULTILINE)
        if grpc_server and metrics:
            return grpc_server[1], metrics[1]
        if over:
            raise ServiceFailedError(over)
        time.sleep(0.005)


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, deadline: float) -> None:
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            over = _is_over(process, deadline)
            try:
                reply = health.Check(health_pb2.HealthCheckRequest(), timeout=5.0)
            except grpc.RpcError:
                pass  # too busy, or gone: looked at next
            else:
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            if over:
                raise ServiceFailedError(over)
            time.sleep(0.02)


def _is_over(process: subprocess.Popen[bytes], deadline: float) -> str:
    """Why it will not become ready; empty while it may."""
    if (code := process.poll()) is not None:
        return f"the service ended with exit code {code} before it was ready"
    if time.monotonic() < deadline:
        return ""
    _abort(process)
    return f"the service was not healthy within {READY_TIMEOUT_SECONDS:.0f} s"


def _abort(process: subprocess.Popen[bytes]) -> None:
    """End one that hangs so that it prints what each of its threads is doing."""
    process.send_signal(signal.SIGABRT)
    process.wait()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        code = process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        _abort(process)
        raise ServiceFailedError(f"the service did not stop within {STOP_TIMEOUT_SECONDS:.0f} s") from None
    if code != 0:
        raise ServiceFailedError(f"the service ended with exit code {code} when told to stop")
