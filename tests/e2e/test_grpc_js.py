"""A client of another kind: grpc-js, as the web's servers use it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.gateway_process import PATIENCE_SECONDS, gateway_process

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".venv" / "node" / "node_modules"

# The documented time of an idle session is 300 s. So much of it is waited for that a client which pings every
# 10 s would have been cut off: gRPC allows two pings that come too soon.
IDLE_SECONDS = 50
PAUSE_SECONDS = 45


@pytest.mark.slow
def test_idle_sessions_of_grpc_js_last_as_long_as_they_may(repository: Path) -> None:
    """With another name of the option, or a larger least interval, both are cut off: too many pings."""
    assert MODULES.is_dir(), "make test installs it"
    with gateway_process(repository, paint_idle_timeout_seconds=IDLE_SECONDS) as gateway:
        done = subprocess.run(
            ["node", "tests/node/idle_session.js", gateway.address, "proto", str(PAUSE_SECONDS)],
            cwd=ROOT,
            env={**os.environ, "NODE_PATH": str(MODULES)},
            capture_output=True,
            text=True,
            timeout=IDLE_SECONDS + 2 * PATIENCE_SECONDS,
            check=False,
        )
    assert not done.stderr
    ended = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert ended["silent"]["details"] == f"No message has come for {IDLE_SECONDS} s."
    assert ended["silent"]["code"] == "DEADLINE_EXCEEDED"
    assert ended["silent"]["seconds"] >= IDLE_SECONDS
    assert ended["silent"]["frames"] == [0]
    assert ended["pausing"]["code"] == "OK", ended["pausing"]
    assert ended["pausing"]["frames"] == [0, 1]
    assert ended["pausing"]["seconds"] >= PAUSE_SECONDS
