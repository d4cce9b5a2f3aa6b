"""A gateway that keeps requests while its inference server is away: bounded, and until their deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.gateway_process import (
    PATIENCE_SECONDS,
    GatewayProcess,
    channel_to,
    gateway_process,
    wait_until,
)
from tests.support.paced_triton import PACK, paced_triton

CAPACITY, CONCURRENCY = 6, 2
BLANK = pb.LabelMap(raw=pb.RawLabelMap(data=bytes(16), width=4, height=4))
REQUEST = pb.SynthesizeRequest(model=PACK, label_map=BLANK, seed=1)


class ComesAndGoes:
    """A gateway, and an inference server that is there when the test says so, always at one address."""

    def __init__(self, gateway: GatewayProcess, server: ExitStack, port: int) -> None:
        self.gateway = gateway
        self._server, self._port = server, port

    def leave(self) -> None:
        """End the server, and wait until the gateway knows."""
        self._server.close()
        self.gateway.wait_for_metric("maskweave_engine_ready 0.0")

    def come(self) -> None:
        """Start the server."""
        self._server.enter_context(paced_triton(0.05, port=self._port))


@pytest.fixture
def served() -> Iterator[ComesAndGoes]:
    with ExitStack() as server:
        _, address = server.enter_context(paced_triton(0.05))
        settings = {
            "engine": "triton",
            "triton_url": address,
            "hold_while_unreachable": True,
            "queue_capacity": CAPACITY,
            "concurrency_limit": CONCURRENCY,
            "default_timeout_seconds": 1,
        }
        with gateway_process(Path("/nonexistent"), **settings) as gateway:
            yield ComesAndGoes(gateway, server, int(address.rpartition(":")[2]))


def status_of(call: Future[Any]) -> str:
    error = call.exception(PATIENCE_SECONDS)
    return error.code().name if isinstance(error, grpc.RpcError) else str(error or "OK")


def test_requests_wait_within_the_capacity_and_are_made_when_the_server_comes(served: ComesAndGoes) -> None:
    gateway = served.gateway
    with channel_to(gateway) as channel, ThreadPoolExecutor(2 * CAPACITY) as pool:
        stub = pb_grpc.SynthesisServiceStub(channel)

        def ask(seconds: float) -> pb.SynthesizeResponse:
            return stub.Synthesize(REQUEST, timeout=seconds)

        ask(PATIENCE_SECONDS)
        served.leave()
        held = [pool.submit(ask, PATIENCE_SECONDS) for _ in range(CAPACITY)]
        gateway.wait_for_metric(f"maskweave_queue_depth {CAPACITY}.0")
        # What an autoscaler brings the first server up by, and what it is told of readiness.
        assert gateway.metric("maskweave_work_waiting_seconds") > 0
        assert gateway.metric("maskweave_images_in_progress") == 0
        with pytest.raises(HTTPError):
            gateway.get("/healthz")
        gateway.get("/livez")
        # No more than the queue holds: further callers are told at once.
        assert status_of(pool.submit(ask, PATIENCE_SECONDS)) == "RESOURCE_EXHAUSTED"
        served.come()
        assert {status_of(call) for call in held} == {"OK"}
        wait_until(
            lambda: gateway.metric("maskweave_queue_depth") == 0, lambda: "the queue is not empty again"
        )


def test_what_waits_ends_at_its_deadline_and_leaves_its_place(served: ComesAndGoes) -> None:
    gateway = served.gateway
    with channel_to(gateway) as channel, ThreadPoolExecutor(CAPACITY) as pool:
        stub = pb_grpc.SynthesisServiceStub(channel)
        served.leave()
        calls = [pool.submit(stub.Synthesize, REQUEST, timeout=0.5) for _ in range(CAPACITY)]
        wait(calls, PATIENCE_SECONDS)
        assert {status_of(call) for call in calls} == {"DEADLINE_EXCEEDED"}
        # A frame of a painting, whose call has no deadline, waits as long as a request without one may.
        start = pb.PaintRequest(start=pb.PaintStart(model=PACK, label_map=BLANK))
        session = stub.Paint(iter([start]))
        with pytest.raises(grpc.RpcError) as caught:
            next(session)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        gateway.wait_for_metric("maskweave_queue_depth 0.0")
        served.come()
        assert len(stub.Synthesize(REQUEST, timeout=PATIENCE_SECONDS).images) == 1


def test_a_server_that_goes_in_the_middle_of_images_loses_none(served: ComesAndGoes) -> None:
    gateway = served.gateway
    several = pb.SynthesizeRequest(model=PACK, label_map=BLANK, seed=1, number_of_images=CAPACITY)
    with channel_to(gateway) as channel, ThreadPoolExecutor(1) as pool:
        stub = pb_grpc.SynthesisServiceStub(channel)
        before = gateway.metric("maskweave_images_total")
        stream = pool.submit(lambda: list(stub.SynthesizeStream(several, timeout=PATIENCE_SECONDS)))
        wait_until(
            lambda: gateway.metric("maskweave_images_total") > before or stream.done(),
            lambda: "no image is made",
        )
        served.leave()
        time.sleep(0.3)  # longer than the pause after which an image is tried once more
        served.come()
        assert sorted(each.index for each in stream.result(PATIENCE_SECONDS)) == list(range(CAPACITY))
