"""A gateway in a process of its own on this machine, for as long as a block of code runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READY_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0


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
    grpc_port, http_port = _free_ports(2)
    own = {
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": str(grpc_port),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(http_port),
    }
    environment = {f"MASKWEAVE_{name}": value for name, value in {**(settings or {}), **own}.items()}
    # Compiling the modules at each start took half as long again; a deployed gateway finds them compiled.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "maskweave_cli", "serve"],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_healthy(process, f"127.0.0.1:{grpc_port}")
            yield LocalService(
                address=f"127.0.0.1:{grpc_port}",
                metrics_url=f"http://127.0.0.1:{http_port}/metrics",
                started=started,
                seconds_to_ready=time.perf_counter() - started,
                pid=process.pid,
            )
            _stop(process)
        except ServiceFailedError as error:
            log.seek(0)
            printed = log.read().decode(errors="replace").strip()
            raise ServiceFailedError(f"{error}; it printed:\n{printed or '(nothing)'}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    # By default a refused channel tries again only after a second, by when the service is long ready.
    options = [
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 50),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            if (code := process.poll()) is not None:
                raise ServiceFailedError(f"the service ended with exit code {code} before it was ready")
            try:
                reply = health.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                pass  # not listening yet
            else:
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(0.02)
    raise ServiceFailedError(f"the service was not healthy within {READY_TIMEOUT_SECONDS:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        code = process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ServiceFailedError(f"the service did not stop within {STOP_TIMEOUT_SECONDS:.0f} s") from None
    if code != 0:
        raise ServiceFailedError(f"the service ended with exit code {code} when told to stop")
