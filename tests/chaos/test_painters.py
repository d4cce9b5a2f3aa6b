"""Painters who read nothing, vanish half-way or paint while the gateway stops: nothing is left of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Client, Unavailable
from tests.chaos.conftest import Unharmed
from tests.support import http2
from tests.support.gateway_process import PATIENCE_SECONDS, GatewayProcess, gateway_process
from tests.support.load import LABEL_MAP, Load, expected_images
from tests.support.promises import in_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAINTERS = 6
IDLE_SECONDS = 6  # of the gateway that these tests share
GRACE_SECONDS = 600  # far more than anybody waits here
UNREAD_SECONDS = 1.0  # of the frame that was being made
HELD_SECONDS = 0.35
START = pb.PaintRequest(
    start=pb.PaintStart(
        model="faces64",
        label_map=pb.LabelMap(raw=pb.RawLabelMap(data=LABEL_MAP.tobytes(), width=64, height=64)),
        seed=0,
        image_format=pb.IMAGE_FORMAT_RAW,
    )
)


@contextmanager
def blind_painters(gateway: GatewayProcess, *, finished: bool) -> Iterator[list[socket.socket]]:
    """Callers who begin a session and allow not one byte of a frame to be sent."""
    start = http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: 0})
    message = http2.call(1, START.SerializeToString(), path=http2.PAINT, ends=finished)
    with ExitStack() as stack:
        connections = []
        for _ in range(PAINTERS):
            connection = stack.enter_context(http2.connect(gateway.address))
            connection.sendall(start + message)
            connections.append(connection)
        gateway.wait_until_in_flight(PAINTERS, "Paint")
        yield connections


@pytest.mark.parametrize("finished", [False, True], ids=["open", "finished"])
def test_painters_who_read_nothing_hold_up_nobody_and_not_for_ever(
    gateway: GatewayProcess, unharmed_by: Unharmed, finished: bool
) -> None:
    """Their sessions end when they are idle, though they are connected all the while."""

    def read_nothing() -> None:
        expected = expected_images(gateway)
        with blind_painters(gateway, finished=finished) as connections:
            with Load(gateway, expected) as load:
                load.wait_for("right", 20)
            assert set(load.outcomes) == {"right"}
            with in_time(IDLE_SECONDS):
                gateway.wait_until_in_flight(0, "Paint")
            assert len(connections) == PAINTERS

    unharmed_by(read_nothing)


def test_painters_who_vanish_half_way(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    def vanish() -> None:
        with blind_painters(gateway, finished=False):
            pass
        with Client(gateway.address) as client:
            for number in range(4 * PAINTERS):
                with client.paint("faces64", LABEL_MAP, seed=number) as session:
                    for place in range(number):
                        session.stroke(1, [(place, place)], width=3)
                    if number % 2:
                        next(session)
        gateway.wait_until_in_flight(0, "Paint")

    unharmed_by(vanish)


def test_sigterm_does_not_wait_for_painters(repository: Path) -> None:
    """Who is at it, and who says nothing, is told UNAVAILABLE, and not only at the end of the grace."""
    begun = threading.Semaphore(0)

    def paint(client: Client, *, strokes: bool) -> None:
        with client.paint("faces64", LABEL_MAP, seed=0) as session:
            for frame in session:
                begun.release()
                if strokes:
                    session.stroke(1 + frame.sequence % 2, [(9, 9), (30, 30)], width=5)

    with (
        gateway_process(repository, worker_threads=2, shutdown_grace_seconds=GRACE_SECONDS) as gateway,
        Client(gateway.address) as client,
        ThreadPoolExecutor(2 * PAINTERS) as pool,
    ):
        painters = [
            pool.submit(paint, client, strokes=strokes) for strokes in (True, False) for _ in range(PAINTERS)
        ]
        gateway.wait_until_in_flight(2 * PAINTERS, "Paint")
        for _ in range(4 * PAINTERS):
            assert begun.acquire(timeout=PATIENCE_SECONDS)
        with in_time(UNREAD_SECONDS + HELD_SECONDS):  # the grace is far longer
            gateway.terminate()
            assert gateway.wait() == 0
        for painter in painters:
            with pytest.raises(Unavailable) as caught:
                painter.result(PATIENCE_SECONDS)
            assert caught.value.reason == "UNAVAILABLE"
        assert "Traceback" not in gateway.output
