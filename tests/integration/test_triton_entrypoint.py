"""The entry point of the Triton image, with programs that only tell how they were called."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Tells its arguments and its number, and waits for the signal that a container engine sends.
TRITONSERVER = """#!/bin/bash
trap 'echo stopped; exit 0' TERM
printf '%s\\n' "process $$" "$@" ready
while true; do sleep 0.05; done
"""

# Takes the place of export.plans.check: accepts the plans unless there is a file that says why not.
CHECK = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
print("checked", folder, flush=True)
if (folder / "fault").exists():
    sys.exit((folder / "fault").read_text())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The entry point as it lies in the image, a `tritonserver`, and a repository of one ONNX model."""
    shutil.copy(ROOT / "docker" / "triton-entrypoint.sh", tmp_path)
    plans = tmp_path / "export" / "plans"
    plans.mkdir(parents=True)
    for package in (plans.parent, plans):
        (package / "__init__.py").touch()
    (plans / "check.py").write_text(CHECK)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "tritonserver").write_text(TRITONSERVER)
    (programs / "tritonserver").chmod(0o755)
    write_config(tmp_path, 'backend: "onnxruntime"')
    return tmp_path


def write_config(folder: Path, line: str) -> None:
    config = folder / "models" / "stage" / "config.pbtxt"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f'name: "stage"\n{line}\nmax_batch_size: 8\n')


class Server:
    """The entry point in a process of its own."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [folder / "triton-entrypoint.sh", *arguments],
            env={
                "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                "MASKWEAVE_MODEL_REPOSITORY": str(folder / "models"),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines_until_ready(self) -> list[str]:
        """What was printed until the server was up."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            if line == "ready\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"it did not start: {self.process.communicate()}")

    def refusal(self) -> str:
        """What is said when it does not start."""
        output, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 1
        assert "process" not in output
        return errors

    def stop(self) -> None:
        """Stop it as a container engine does."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=30)
        assert (output, errors, self.process.returncode) == ("stopped\n", "", 0)


@pytest.fixture
def started(folder: Path) -> Iterator[Server]:
    """The entry point, started on the repository of one ONNX model."""
    server = Server(folder, "--log-verbose=1")
    yield server
    server.process.kill()
    server.process.communicate()


def test_the_server_takes_the_place_of_the_shell_and_gets_its_signals(started: Server) -> None:
    assert f"process {started.process.pid}" in started.lines_until_ready()
    started.stop()


def test_production_settings_then_the_callers(started: Server, folder: Path) -> None:
    lines = started.lines_until_ready()
    assert {
        f"--model-repository={folder / 'models'}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--exit-timeout-secs=30",
        "--cache-config=local,size=67108864",
        "--http-address=127.0.0.1",
        "--metrics-address=0.0.0.0",
        "--grpc-http2-min-recv-ping-interval-without-data=10000",
        "--grpc-keepalive-permit-without-calls=true",
    } <= set(lines)
    assert lines[-1] == "--log-verbose=1"
    started.stop()


def closed_calls(server: Server) -> dict[str, str]:
    """What is closed, and by which key, for gRPC and for HTTP."""
    options = dict(line.split("=", 1) for line in server.lines_until_ready() if "=" in line)
    server.stop()
    return {name: options[name] for name in ("--grpc-restricted-protocol", "--http-restricted-api")}


def test_what_is_closed_opens_only_with_a_key_made_at_each_start(folder: Path) -> None:
    first, second = closed_calls(Server(folder)), closed_calls(Server(folder))
    for name in first:
        (calls, key), (same_calls, other_key) = first[name].split(":"), second[name].split(":")
        # The gateway needs the index of model-repository.
        assert calls == same_calls == "shared-memory,trace,logging"
        assert len(key.removeprefix("closed=")) == 64
        assert key != other_key


def test_sizes_and_times_come_from_the_environment(folder: Path) -> None:
    server = Server(folder, MASKWEAVE_TRITON_CACHE_BYTES="1000", MASKWEAVE_TRITON_EXIT_TIMEOUT_SECONDS="60")
    assert {"--cache-config=local,size=1000", "--exit-timeout-secs=60"} <= set(server.lines_until_ready())
    server.stop()


def test_without_plans_nothing_is_checked(folder: Path) -> None:
    (folder / "models" / "fault").write_text("never read")
    server = Server(folder)
    assert not [line for line in server.lines_until_ready() if line.startswith("checked")]
    server.stop()


@pytest.mark.parametrize("line", ['backend: "tensorrt"', '  backend:"tensorrt"', 'platform: "tensorrt_plan"'])
def test_good_plans_are_checked_and_served(folder: Path, line: str) -> None:
    write_config(folder, line)
    server = Server(folder)
    assert f"checked {folder / 'models'}" in server.lines_until_ready()
    server.stop()


def test_plans_that_do_not_fit_are_refused_with_the_reason(folder: Path) -> None:
    write_config(folder, 'backend: "tensorrt"')
    (folder / "models" / "fault").write_text("stage: built for another GPU\n")
    said = Server(folder).refusal()
    assert "stage: built for another GPU" in said
    assert f"the plans in {folder / 'models'} must not be served here" in said


def test_plans_that_cannot_be_checked_are_refused(folder: Path) -> None:
    write_config(folder, 'backend: "tensorrt"')
    shutil.rmtree(folder / "export")
    assert "must not be served here" in Server(folder).refusal()


def test_an_empty_repository_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "stage")
    assert f"there is no model with a config.pbtxt in {folder / 'models'}" in Server(folder).refusal()
