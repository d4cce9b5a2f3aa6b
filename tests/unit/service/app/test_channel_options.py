"""Every option that is handed to gRPC is one that the installed gRPC knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.grpc_options import option_names, unknown_options

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "package", ["service", "client/maskweave_client", "client/examples", "benchmarks", "tests"]
)
def test_grpc_knows_every_option(package: str) -> None:
    names = option_names(ROOT / package)
    if package == "tests":  # this very file has names that are none
        names = {name: files for name, files in names.items() if files != {Path(__file__).name}}
    assert names or package == "client/examples"
    assert {name: names[name] for name in unknown_options(names)} == {}


@pytest.mark.parametrize(
    "name",
    [
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        "grpc.http2.min_ping_interval_without_data",
        "grpc.keepalive_time",
    ],
)
def test_a_wrong_name_is_found(name: str) -> None:
    assert unknown_options([name, "grpc.keepalive_time_ms"]) == [name]


def test_the_servers_options_are_among_those_looked_at() -> None:
    assert {
        "grpc.http2.min_ping_interval_without_data_ms",
        "grpc.keepalive_time_ms",
        "grpc.so_reuseport",
        "grpc.max_allowed_incoming_connections",
    } <= option_names(ROOT / "service").keys()
