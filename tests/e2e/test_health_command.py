"""`maskweave health` against real gateways, and against what is none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.app.probe import DEFAULT_HOST, DEFAULT_PORT, default_address, gateway_settings
from service.app.settings import Settings
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.health_command import health

SERVICE = "maskweave.v1.SynthesisService"


@contextmanager
def bound(*, listening: bool) -> Iterator[str]:
    """An address where nobody listens, or where connections are taken but never answered."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listening:
            taken.listen()
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("arguments", [(), ("--service", SERVICE)], ids=["server", "service"])
def test_a_gateway_that_is_up(gateway: GatewayProcess, arguments: tuple[str, ...]) -> None:
    done = health("--address", gateway.address, *arguments)
    assert done == (0, "SERVING\n", "")


def test_the_address_comes_from_the_gateways_own_settings(repository: Path) -> None:
    with gateway_process(repository, grpc_host="0.0.0.0", allow_plaintext=True) as gateway:
        settings = {"MASKWEAVE_GRPC_HOST": "0.0.0.0", "MASKWEAVE_GRPC_PORT": gateway.address.split(":")[1]}
        done = health(**settings)
    assert done == (0, "SERVING\n", "")


def test_proxies_are_left_aside(gateway: GatewayProcess) -> None:
    with bound(listening=False) as nobody:
        done = health("--address", gateway.address, http_proxy=f"http://{nobody}", no_proxy="", NO_PROXY="")
    assert done.output == "SERVING\n"


def test_an_unknown_service(gateway: GatewayProcess) -> None:
    done = health("--address", gateway.address, "--service", "unknown.Service")
    message = f"Error: {gateway.address} offers no service 'unknown.Service'\n"
    assert done == (1, "", message)


def test_nobody_listens() -> None:
    with bound(listening=False) as address:
        done = health("--address", address)
    assert (done.code, done.output) == (1, "")
    assert done.message.startswith(f"Error: {address} cannot be reached: ")
    assert done.message.count("\n") == 1


def test_nobody_answers() -> None:
    with bound(listening=True) as address:
        done = health("--address", address, "--timeout", "0.3")
    message = f"Error: {address} did not answer within 0.3 s\n"
    assert done == (1, "", message)


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1:7"), ("::", "[::1]:7"), ("10.0.0.1", "10.0.0.1:7"), ("fe80::1", "[fe80::1]:7")],
)
def test_where_the_gateway_is_found(monkeypatch: pytest.MonkeyPatch, host: str, address: str) -> None:
    monkeypatch.setenv("MASKWEAVE_GRPC_HOST", host)
    monkeypatch.setenv("MASKWEAVE_GRPC_PORT", "7")
    assert default_address(gateway_settings()) == address


def test_the_environment_wins_over_the_file_of_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "maskweave.toml"
    file.write_text('grpc_host = "::1"\ngrpc_port = 6\n')
    monkeypatch.setenv("MASKWEAVE_CONFIG", str(file))
    assert default_address(gateway_settings()) == "[::1]:6"
    monkeypatch.setenv("maskweave_grpc_port", "7")
    assert default_address(gateway_settings()) == "[::1]:7"


def test_without_settings_it_asks_where_a_gateway_listens_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GRPC_HOST", "GRPC_PORT"):
        monkeypatch.delenv(f"MASKWEAVE_{name}", raising=False)
    defaults = {name: Settings.model_fields[name].default for name in ("grpc_host", "grpc_port")}
    assert default_address(gateway_settings()) == f"{defaults['grpc_host']}:{defaults['grpc_port']}"
    assert defaults == {"grpc_host": DEFAULT_HOST, "grpc_port": DEFAULT_PORT}
