"""A session that is idle, and whose client looks every 10 s whether anybody is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import SimpleQueue

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.gateway_process import GatewayProcess

IDLE_SECONDS = 45
OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


@pytest.mark.slow
def test_a_client_that_pings_every_ten_seconds_keeps_its_idle_session(gateway: GatewayProcess) -> None:
    """With another name of the option, or a larger least interval, it is cut off: too many pings."""
    requests: SimpleQueue[pb.PaintRequest | None] = SimpleQueue()
    raw = pb.RawLabelMap(data=bytes(64 * 64), width=64, height=64)
    requests.put(
        pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=pb.LabelMap(raw=raw), seed=1))
    )
    with grpc.insecure_channel(gateway.address, OPTIONS) as channel:
        frames: Iterator[pb.PaintResponse] = pb_grpc.SynthesisServiceStub(channel).Paint(
            iter(requests.get, None), timeout=IDLE_SECONDS + 60
        )
        assert next(frames).sequence == 0
        time.sleep(IDLE_SECONDS)
        requests.put(pb.PaintRequest(update=pb.PaintUpdate(sequence=1, seed=2)))
        requests.put(None)
        assert [frame.sequence for frame in frames] == [1]
