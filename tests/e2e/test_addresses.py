"""Gateways that listen on IPv6 and on Unix sockets."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client
from tests.support.certificates import Authority
from tests.support.gateway_process import gateway_process, run_serve
from tests.support.health_command import health

SMALL = np.zeros((64, 64), np.uint8)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_ipv6_with_and_without_brackets(repository: Path, host: str) -> None:
    with gateway_process(repository, grpc_host=host, http_host=host) as gateway:
        assert gateway.address.startswith("[::1]:")
        assert gateway.get("/livez") == "ok\n"
        with Client(gateway.address) as client:
            assert client.models()
        port = gateway.address.rpartition(":")[2]
        assert health(MASKWEAVE_GRPC_HOST=host, MASKWEAVE_GRPC_PORT=port) == (0, "SERVING\n", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sock"


def test_a_unix_socket_needs_no_tls_and_is_the_users_own(repository: Path, path: Path) -> None:
    with gateway_process(repository, grpc_host=f"unix:{path}") as gateway:
        assert gateway.address == f"unix:{path}"
        assert "anyone" not in gateway.output
        assert "whoever" not in gateway.output
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert not mode & (stat.S_IWGRP | stat.S_IWOTH)  # to connect is to write
        with Client(gateway.address) as client:
            assert client.synthesize("faces64", SMALL, seed=1).images
        assert health(MASKWEAVE_GRPC_HOST=f"unix://{path}") == (0, "SERVING\n", "")
        (line,) = (line for line in gateway.output.splitlines() if line.startswith("try "))
        command = (
            line.removeprefix("try ")
            .strip()
            .replace("grpcurl", str(Path(sys.executable).parent / "grpcurl"), 1)
        )
        assert (
            '"images"'
            in subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
        )
    assert not path.exists()


def test_the_umask_opens_a_unix_socket_to_a_group(repository: Path, path: Path) -> None:
    with gateway_process(repository, None, lambda: os.umask(0o007), grpc_host=f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o770


def test_a_unix_socket_speaks_tls_where_it_is_asked_to(repository: Path, path: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", "authority")
    pair = authority.issue("server")
    settings = {"tls_certificate": pair.certificate, "tls_key": pair.key, "grpc_host": f"unix:{path}"}
    with gateway_process(repository, **settings):
        variables = {f"MASKWEAVE_{name.upper()}": str(value) for name, value in settings.items()}
        assert health(**variables) == (0, "SERVING\n", "")
        assert health("--no-tls", **variables).code == 1


def test_a_second_gateway_does_not_take_the_socket_of_the_first(repository: Path, path: Path) -> None:
    host = f"unix:{path}"
    with gateway_process(repository, grpc_host=host) as gateway:
        done = run_serve(model_repository=repository, grpc_host=host, http_port=0)
        assert done.returncode == 1
        assert f"cannot listen on {host}: another process listens on it" in done.stdout
        with Client(gateway.address) as client:
            assert client.models()


def test_a_socket_left_by_one_that_was_killed_is_taken_over(repository: Path, path: Path) -> None:
    with gateway_process(repository, grpc_host=f"unix:{path}") as killed:
        killed.process.send_signal(signal.SIGKILL)
        killed.wait()
    assert path.exists()
    with gateway_process(repository, grpc_host=f"unix:{path}") as gateway, Client(gateway.address) as client:
        assert client.models()


def test_a_file_in_the_way_is_kept(repository: Path, path: Path) -> None:
    path.write_text("precious")
    done = run_serve(model_repository=repository, grpc_host=f"unix:{path}", http_port=0)
    assert done.returncode == 1
    assert "a file that is not a socket is there" in done.stdout
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("[::1]:50051", "which has a port"),
        ("unix:relative", "with a full path"),
        ("unix-abstract:name", "abstract sockets have no permissions"),
    ],
)
def test_what_is_no_address_is_refused_for_what_it_is(host: str, told: str) -> None:
    done = run_serve("--grpc-host", host)
    assert done.returncode == 2
    assert f"grpc_host (--grpc-host): got '{host}'" in done.stdout
    assert told in done.stdout
    assert "TLS" not in done.stdout
