"""Idle sessions whose clients look every 10 s whether anybody is there: Python's gRPC and grpc-js."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.gateway_process import PATIENCE_SECONDS, GatewayProcess, gateway_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".venv" / "node" / "node_modules"

# The documented time of an idle session is 300 s. So much of it is waited for that a client which pings every
# 10 s would have been cut off: gRPC allows two pings that come too soon.
IDLE_SECONDS = 50
PAUSE_SECONDS = 45
OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


def paint_after_a_pause(gateway: GatewayProcess) -> list[int]:
    """The frames of a session of Python's gRPC that says nothing for a while."""
    requests: SimpleQueue[pb.PaintRequest | None] = SimpleQueue()
    raw = pb.RawLabelMap(data=bytes(64 * 64), width=64, height=64)
    requests.put(
        pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=pb.LabelMap(raw=raw), seed=1))
    )
    with grpc.insecure_channel(gateway.address, OPTIONS) as channel:
        frames: Iterator[pb.PaintResponse] = pb_grpc.SynthesisServiceStub(channel).Paint(
            iter(requests.get, None), timeout=IDLE_SECONDS + PATIENCE_SECONDS
        )
        seen = [next(frames).sequence]
        threading.Event().wait(PAUSE_SECONDS)
        requests.put(pb.PaintRequest(update=pb.PaintUpdate(sequence=1, seed=2)))
        requests.put(None)
        return [*seen, *(frame.sequence for frame in frames)]


@pytest.fixture(scope="module")
def ended(repository: Path) -> dict[str, dict[str, Any]]:
    """What became of the sessions, all at the same time: two of grpc-js, as the web's servers use it."""
    assert MODULES.is_dir(), "make test installs it"
    with (
        gateway_process(repository, paint_idle_timeout_seconds=IDLE_SECONDS) as gateway,
        subprocess.Popen(
            ["node", "tests/node/idle_session.js", gateway.address, "proto", str(PAUSE_SECONDS)],
            cwd=ROOT,
            env={**os.environ, "NODE_PATH": str(MODULES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as node,
    ):
        try:
            sessions: dict[str, dict[str, Any]] = {"python": {"frames": paint_after_a_pause(gateway)}}
            printed, errors = node.communicate(timeout=IDLE_SECONDS + PATIENCE_SECONDS)
        finally:
            node.kill()
    assert not errors
    return sessions | {each["name"]: each for each in map(json.loads, printed.splitlines())}


def test_a_client_that_pings_every_ten_seconds_keeps_its_idle_session(
    ended: dict[str, dict[str, Any]],
) -> None:
    """With another name of the option, or a larger least interval, all are cut off: too many pings."""
    assert ended["python"]["frames"] == [0, 1]
    assert ended["pausing"]["code"] == "OK", ended["pausing"]
    assert ended["pausing"]["frames"] == [0, 1]
    assert ended["pausing"]["seconds"] >= PAUSE_SECONDS


def test_idle_sessions_last_as_long_as_they_may(ended: dict[str, dict[str, Any]]) -> None:
    assert ended["silent"]["details"] == f"No message has come for {IDLE_SECONDS} s."
    assert ended["silent"]["code"] == "DEADLINE_EXCEEDED"
    assert ended["silent"]["seconds"] >= IDLE_SECONDS
    assert ended["silent"]["frames"] == [0]
