"""A gateway that is the first process of its container, where signals without a handler are lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.promises import in_time

_STEP_SECONDS = 0.002
_WAIT_SECONDS = 90

# What docs/reliability.md promises: the imports that have begun are finished first.
_BOUND_SECONDS = 15


def _can_unshare() -> bool:
    done = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not _can_unshare(), reason="needs the right to make a PID namespace")


@contextmanager
def first_process(repository: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A starting gateway that is PID 1 of a namespace: the process to wait for, and its PID out here."""
    values = {"grpc_port": 0, "http_port": 0, "model_repository": repository, **settings}
    process = subprocess.Popen(
        [
            *("unshare", "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-m", "maskweave_cli", "serve"),
        ],
        env={**os.environ, **{f"MASKWEAVE_{name.upper()}": str(value) for name, value in values.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        until(lambda: bool(children.read_text().split()))
        yield process, int(children.read_text().split()[0])
    finally:
        process.kill()
        process.communicate()


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not happened():
        assert time.monotonic() < end
        time.sleep(_STEP_SECONDS)


def handles_sigterm(pid: int) -> bool:
    (caught,) = (
        line.split()[1]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("SigCgt:")
    )
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def has_loaded(library: str) -> Callable[[int], bool]:
    return lambda pid: library in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "moment",
    [handles_sigterm, has_loaded("pydantic_core"), has_loaded("cygrpc"), has_loaded("onnxruntime")],
    ids=["handlers set", "settings imported", "gRPC imported", "ONNX Runtime imported"],
)
def test_a_signal_during_the_start_ends_it(
    repository: Path, moment: Callable[[int], bool], number: signal.Signals
) -> None:
    with first_process(repository) as (process, pid):
        until(lambda: moment(pid))
        with in_time(_BOUND_SECONDS):
            os.kill(pid, number)
            output, _ = process.communicate(timeout=_WAIT_SECONDS)
    assert process.returncode == 0, output
    assert f'stopping signal="{number.name}"' in output
    assert "Traceback" not in output


def test_a_second_signal_ends_it_at_once(repository: Path) -> None:
    with first_process(repository) as (process, pid):
        until(lambda: handles_sigterm(pid))
        with in_time(0):
            os.kill(pid, signal.SIGTERM)
            # The handler of the first one may not have run yet, and signals of one kind do not queue.
            os.kill(pid, signal.SIGINT)
            process.communicate(timeout=_WAIT_SECONDS)
    assert process.returncode in {128 + signal.SIGTERM, 128 + signal.SIGINT}


def test_handlers_are_set_before_anything_heavy_is_imported() -> None:
    program = """
import signal, sys
def first(*_):
    print(*{name.partition(".")[0] for name in sys.modules})
    sys.stdout.flush()
    raise SystemExit
signal.signal = first
sys.argv = ["maskweave", "serve"]
import maskweave_cli
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"service", "signal"} <= loaded
    assert loaded.isdisjoint({"click", "grpc", "pydantic", "numpy", "asyncio", "logging"})
