"""`maskweave status` against real gateways, and against what is none."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskweave_client import Client
from tests.support.forked_python import run_program
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys


def status(*arguments: object, code: int = 0, **environment: str) -> str:
    """Run the command; its exit code must be `code`. What it says goes to standard output alone."""
    done = run_program("-m", "maskweave_cli", "status", *arguments, environment=environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 or done.stdout else done.stderr


def of(gateway: GatewayProcess) -> tuple[str, str, str]:
    return gateway.address, "--http", gateway.http.removeprefix("http://")


def test_everything_about_a_gateway(repository: Path) -> None:
    with gateway_process(repository, worker_threads=2) as gateway, Client(gateway.address) as client:
        for _ in range(2):
            client.synthesize("faces64", np.zeros((2, 2), np.uint8), seeds=[1, 2])
        with pytest.raises(Exception, match="number_of_images"):
            client.synthesize("faces64", np.zeros((2, 2), np.uint8), number_of_images=0)
        gateway.wait_until_in_flight(0)
        found: dict[str, Any] = json.loads(status(*of(gateway), "--json", "--seconds", "0.2"))
        text = status(*of(gateway), "--seconds", "0.2")

    assert found["serving"] is True
    assert (found["health"], found["problems"]) == ("SERVING", [])
    assert found["uptime_seconds"] > 0
    assert found["runtime"]["runtime"] == "ONNX Runtime"
    assert found["runtime"]["engine"] == "embedded"
    assert (found["runtime"]["precision"], found["runtime"]["why"]) == ("fp32", "as set")
    assert "faces64" in {model["name"] for model in found["models"]}
    assert found["model_load_seconds"]["faces64_rearranger"] > 0
    load, total = found["load"], found["total"]
    assert load["workers"] == 2
    assert (load["queue_images"], load["images_in_progress"], load["sessions"]) == (0, 0, 0)
    assert load["cache_capacity_bytes"] == 64 * 2**20
    assert load["cache_entries"] >= 2
    assert (total["cache_lookups"], total["cache_hits"]) == (4, 2)
    assert total["failures"] == {"INVALID_FIELD": 1}
    synthesize = total["traffic"]["Synthesize"]
    assert synthesize["calls"] == 3
    assert synthesize["failed"] == pytest.approx(1 / 3)
    assert 0 < synthesize["p50"] <= synthesize["p99"]
    assert total["stages"]["faces64_rearranger"]["runs"] == 4
    assert found["recent"]["seconds"] >= 0.2

    lines = text.splitlines()
    assert lines[0].startswith("maskweave 0.")
    assert f"at {gateway.address}: SERVING, up " in lines[0]
    for expected in (
        "engine     embedded, ONNX Runtime",
        "models     ",
        "queue      0 images waiting",
        "workers    0 of 2",
    ):
        assert any(line.startswith(expected) for line in lines), text
    assert "50 % of 4 lookups found" in text
    assert "INVALID_FIELD 1" in text
    assert max(map(len, lines)) <= 140


def test_what_runs_the_models_and_why(repository: Path) -> None:
    with gateway_process(repository, embedded_runtime="auto") as gateway, Client(gateway.address) as client:
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), seeds=[1])
        found = json.loads(status(*of(gateway), "--json", "--seconds", "0.1"))
        text = status(*of(gateway), "--seconds", "0.1")
        gateway.wait_for_output('why="the fastest of 2"')
    assert found["runtime"]["why"] == "the fastest of 2"
    assert found["candidate_seconds"].keys() == {"onnxruntime fp32", "openvino fp32"}
    assert "fp32 (the fastest of 2: onnxruntime fp32 " in text


def test_beside_a_gateway_it_needs_no_address(repository: Path) -> None:
    with gateway_process(repository) as gateway:
        text = status(
            "--seconds",
            "0.1",
            MASKWEAVE_GRPC_PORT=gateway.address.rpartition(":")[2],
            MASKWEAVE_HTTP_PORT=gateway.http.rpartition(":")[2],
        )
    assert "SERVING" in text
    assert "problem" not in text


def test_sessions_and_streams_are_shown(gateway: GatewayProcess, client: Client) -> None:
    before = json.loads(status(*of(gateway), "--json", "--seconds", "0.1"))["load"]
    with client.paint("faces64", np.zeros((2, 2), np.uint8)) as session:
        next(iter(session))
        during = json.loads(status(*of(gateway), "--json", "--seconds", "0.1"))["load"]
    assert during["sessions"] == before["sessions"] + 1
    assert during["streams"] == before["streams"] + 1
    assert during["calls"]["Paint"] >= 1


def test_without_metrics_the_rest_is_shown(gateway: GatewayProcess) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        text = status(gateway.address, "--http", address)
    assert "SERVING" in text
    assert f"problem    http://{address}/metrics cannot be read: " in text
    assert "models     faces64" in text


def test_a_port_that_speaks_no_http_is_a_problem_among_others(gateway: GatewayProcess) -> None:
    """The gRPC port in the place of the other one."""
    text = status(gateway.address, "--http", gateway.address)
    assert "SERVING" in text
    assert f"problem    http://{gateway.address}/metrics cannot be read: " in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_page_that_is_another_s_is_not_taken_for_a_gateway_s(gateway: GatewayProcess) -> None:
    text = status(gateway.address, "--http", f"{gateway.http}/healthz")
    assert f"{gateway.http}/healthz " in text
    assert "problem" in text


def test_without_a_key_the_models_are_missing(repository: Path, tmp_path: Path) -> None:
    key, entry = new_key("ops")
    keys, own = write_keys(tmp_path / "keys.toml", entry), tmp_path / "key"
    own.write_text(key)
    with gateway_process(repository, api_keys_file=keys) as gateway:
        without = status(*of(gateway), "--seconds", "0.1")
        given = status(*of(gateway), "--seconds", "0.1", "--api-key-file", own)
    assert "asks for a key" in without
    assert "--api-key-file" in without
    assert "models" not in without
    assert "models     faces64" in given
    assert key not in given


def test_nobody_is_there() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        found = json.loads(status(address, "--json", "--http", address, code=1))
        text = status(address, "--http", address, code=1)
    assert (found["serving"], found["health"], found["models"], found["load"]) == (
        False,
        "UNREACHABLE",
        None,
        None,
    )
    assert len(found["problems"]) == 2
    assert text.startswith(f"maskweave at {address}: UNREACHABLE\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("unix:/run/x.sock",), "--http HOST:PORT"),
        (("localhost:1", "--http", "localhost"), "allowed: HOST:PORT"),
        (("localhost:1", "--seconds", "0"), "0.1<=x<=3600"),
        (("localhost:1", "--certificate", "a"), "--certificate and --key go together"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in status(*arguments, code=2)
