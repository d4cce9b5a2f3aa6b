"""SIGTERM while callers are at it: what was taken is answered, what comes later is told so, nobody hangs."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client
from tests.support.gateway_process import gateway_process
from tests.support.load import CALL_SECONDS, Load, expected_images
from tests.support.promises import watched_machine
from tests.support.slow_pack import SLOW_ONE_SECOND

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TAKEN = 12
CLIENTS = 16
STOPS, MOST_STOPS = 3, 6
ANSWERS = {"right", "UNAVAILABLE"}


def told(load: Load) -> Counter[str]:
    """What the clients of a load were told, without the reasons."""
    return Counter(outcome.partition(":")[0] for outcome in load.outcomes.elements())


def test_sigterm_under_load_tells_nobody_that_they_cancelled(repository: Path) -> None:
    """Clients without retries, whose next call follows on the answer: gRPC alone fails at every such stop.

    Callers who did not get to run for longer than calls are held may be told so, as docs/reliability.md says.
    """
    with_details, clean = 0, 0
    for _ in range(MOST_STOPS):
        with (
            gateway_process(repository, worker_threads=2) as gateway,
            Load(gateway, expected_images(gateway), clients=CLIENTS) as load,
        ):
            load.wait_for("right", 20)
            gateway.terminate()
            assert gateway.wait() == 0
        assert told(load).keys() <= {*ANSWERS, "CANCELLED"}, load.outcomes
        with_details += load.outcomes["UNAVAILABLE: UNAVAILABLE"]
        clean += "CANCELLED" not in told(load)
        if clean == STOPS:
            break
    assert clean == STOPS
    assert with_details > 0  # where the connection was still up


@pytest.mark.parametrize("attempt", range(3))
def test_sigterm_under_load_loses_no_request_that_was_taken(repository: Path, attempt: int) -> None:
    del attempt  # where the signal falls is chance
    blank = np.zeros((4, 4), np.uint8)
    with gateway_process(repository, worker_threads=2, shutdown_grace_seconds=600) as gateway:
        expected = expected_images(gateway)
        with Client(gateway.address, timeout=60) as client, ThreadPoolExecutor(TAKEN) as pool:
            # With retries: some of their answers come just when the port is closed.
            with watched_machine() as machine, Load(gateway, expected, retries=True) as load:
                load.wait_for("right", 20)
                streams = [
                    client.synthesize_stream("slow", blank, latents=[[SLOW_ONE_SECOND / 8]] * 2)
                    for _ in range(TAKEN)
                ]
                answers = [pool.submit(list, stream) for stream in streams]
                gateway.wait_until_started(TAKEN, "SynthesizeStream")
                gateway.terminate()
                assert gateway.wait() == 0
            assert all(len(answer.result()) == 2 for answer in answers)
        assert told(load).keys() <= ANSWERS, load.outcomes
        machine.check(load.longest, CALL_SECONDS)
        assert "Traceback" not in gateway.output
