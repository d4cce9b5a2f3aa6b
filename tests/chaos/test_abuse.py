"""gRPC spoken well and used badly: too large, taken back at once, never read, never heard of again."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from tests.chaos.conftest import Unharmed
from tests.support import http2
from tests.support.footprint import Footprint, leaks, settled
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.load import LABEL_MAP, Load, expected_images
from tests.support.promises import in_time
from tests.support.slow_pack import SLOW_ONE_SECOND

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RESETS = 1000  # at least twice
CALLS_A_CONNECTION = 50
CALLS_A_BURST = 5
KEEPALIVE_SECONDS = 1
DESCRIPTORS = 160
SLOW_READERS = 6
DEADLINE_SECONDS = 10  # of the gateway that these tests share, for calls without one
CODES_OF_REFUSAL = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


def raw_request(**fields: int) -> pb.SynthesizeRequest:
    raw = pb.RawLabelMap(data=LABEL_MAP.tobytes(), width=64, height=64)
    return pb.SynthesizeRequest(
        model="faces64",
        label_map=pb.LabelMap(raw=raw),
        seed=0,
        image_format=pb.IMAGE_FORMAT_RAW,
        number_of_images=fields.get("number_of_images"),
    )


def slow_request() -> pb.SynthesizeRequest:
    """Seconds of work."""
    raw = pb.RawLabelMap(data=bytes(16), width=4, height=4)
    latents = [pb.Latent(values=[SLOW_ONE_SECOND / 2])] * 16
    return pb.SynthesizeRequest(
        model="slow", label_map=pb.LabelMap(raw=raw), latents=pb.LatentList(latents=latents)
    )


def test_oversized_messages_and_metadata(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    def send() -> None:
        with channel_to(gateway) as channel:
            stub = pb_grpc.SynthesisServiceStub(channel)
            too_large = pb.SynthesizeRequest(model="faces64", label_map=pb.LabelMap(png=bytes(2**20)))
            for _ in range(5):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Synthesize(too_large, timeout=60)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Synthesize(raw_request(), timeout=60, metadata=(("x-junk", "j" * 60_000),))
                assert caught.value.code() in CODES_OF_REFUSAL

    unharmed_by(send)


def drain(connection: socket.socket) -> None:
    """Read what has come, so that nothing is held up for want of it."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except (BlockingIOError, ConnectionError):
        pass
    finally:
        connection.settimeout(60)


def test_rapid_resets(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    message = raw_request(number_of_images=4).SerializeToString()
    slow = slow_request().SerializeToString()

    def take_back() -> None:
        with http2.connect(gateway.address) as connection:  # while it works, for certain
            connection.sendall(http2.PREFACE + http2.settings() + http2.call(1, slow))
            gateway.wait_until_in_flight(1)
            connection.sendall(http2.reset(1))
            gateway.wait_until_in_flight(0)
        for _ in range(RESETS // CALLS_A_CONNECTION):
            with http2.connect(gateway.address) as connection:
                connection.sendall(http2.PREFACE + http2.settings())
                try:
                    for first in range(1, 2 * CALLS_A_CONNECTION, 2 * CALLS_A_BURST):
                        streams = range(first, first + 2 * CALLS_A_BURST, 2)
                        if first % 4 == 1:  # some before the gateway has seen them, some while it works
                            connection.sendall(b"".join(http2.call(each, message) for each in streams))
                            time.sleep(0.005)
                            connection.sendall(b"".join(map(http2.reset, streams)))
                        else:
                            calls = (http2.call(each, message) + http2.reset(each) for each in streams)
                            connection.sendall(b"".join(calls))
                        drain(connection)
                except ConnectionError:
                    pass  # the gateway has had enough of it

    unharmed_by(take_back)
    assert gateway.metric("grpc_server_handled_total", grpc_code="Canceled", grpc_method="Synthesize") > 0


@contextmanager
def slow_readers(gateway: GatewayProcess) -> Iterator[list[socket.socket]]:
    """Callers who ask for a stream of sixteen raw images each and allow not one byte of them to be sent."""
    message = raw_request(number_of_images=16).SerializeToString()
    start = http2.PREFACE + http2.settings({http2.INITIAL_WINDOW_SIZE: 0})
    with ExitStack() as stack:
        connections = []
        for _ in range(SLOW_READERS):
            connection = stack.enter_context(http2.connect(gateway.address))
            connection.sendall(start + http2.call(1, message, path=http2.SYNTHESIZE_STREAM))
            connections.append(connection)
        gateway.wait_until_in_flight(SLOW_READERS, "SynthesizeStream")
        yield connections


def test_slow_readers_hold_up_nobody_and_not_for_ever(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    """Their calls end at the deadline, though they are connected all the while."""

    def read_nothing() -> None:
        expected = expected_images(gateway)
        with slow_readers(gateway) as connections:
            with Load(gateway, expected) as load:
                load.wait_for("right", 20)
            assert set(load.outcomes) == {"right"}
            with in_time(DEADLINE_SECONDS):
                gateway.wait_until_in_flight(0, "SynthesizeStream")
            assert len(connections) == SLOW_READERS

    unharmed_by(read_nothing)


def test_what_one_connection_can_leave_unread_is_bounded(gateway: GatewayProcess) -> None:
    """A call that is not read counts against its connection until that closes."""
    with http2.connect(gateway.address) as connection:
        connection.sendall(http2.PREFACE + http2.settings())
        told = http2.read_settings(connection)
    assert told[http2.MAX_CONCURRENT_STREAMS] == 128


def test_readers_who_hang_up(gateway: GatewayProcess, unharmed_by: Unharmed) -> None:
    def hang_up() -> None:
        with slow_readers(gateway):
            pass
        gateway.wait_until_in_flight(0, "SynthesizeStream")

    unharmed_by(hang_up)


@pytest.fixture
def impatient(repository: Path) -> Iterator[GatewayProcess]:
    """A gateway that asks a silent connection after a second whether anybody is there."""
    with gateway_process(
        repository, worker_threads=2, keepalive_seconds=KEEPALIVE_SECONDS, log_level="warning"
    ) as running:
        yield running


def wait_for_connections(gateway: GatewayProcess, count: int) -> None:
    wait_until(lambda: Footprint.of(gateway).connections <= count, lambda: "connections are held")


def test_half_open_connections_are_let_go(impatient: GatewayProcess) -> None:
    """Those that never speak, that stop after the preface, and that stop after a call."""
    with Client(impatient.address) as client:
        assert client.synthesize("faces64", LABEL_MAP, seed=0).images
    before = settled(impatient)
    spoken = http2.PREFACE + http2.settings()
    called = spoken + http2.call(1, raw_request().SerializeToString())
    openings = (b"", http2.PREFACE, spoken, called)
    connections: list[socket.socket] = []
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(http2.connect(impatient.address))
            connection.sendall(openings[number % len(openings)])
            connections.append(connection)
        with in_time(2 * KEEPALIVE_SECONDS):
            for connection in connections:
                http2.wait_for_hang_up(connection)
            wait_for_connections(impatient, before.connections)
    found = leaks(impatient, before)
    assert found.keys() <= {"memory_bytes"}, found  # it was not warmed up with this


CALLER = """
import sys, numpy, maskweave_client
client = maskweave_client.Client(sys.argv[1], timeout=60)
stream = client.synthesize_stream("slow", numpy.zeros((4, 4), numpy.uint8), latents=[[0.0]] * 16)
next(stream)
print("reading", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_caller_who_vanishes(impatient: GatewayProcess, how: signal.Signals) -> None:
    """Killed, its machine says so; stopped, the connection lives and only nobody answers."""
    before = settled(impatient)
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, impatient.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "reading\n"
        os.kill(caller.pid, how)
        with in_time(2 * KEEPALIVE_SECONDS):
            wait_for_connections(impatient, before.connections)
        impatient.wait_until_in_flight(0, "SynthesizeStream")
    finally:
        caller.kill()
        caller.communicate()


def test_more_connections_than_descriptors(repository: Path) -> None:
    """It takes what it can, answers those it has, and takes new ones as soon as there is room again."""
    limit = (DESCRIPTORS, DESCRIPTORS)
    with gateway_process(
        repository, None, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit), worker_threads=2
    ) as gateway:
        expected = expected_images(gateway)
        before = settled(gateway)
        with Client(gateway.address) as client, ExitStack() as stack:
            assert client.synthesize("faces64", LABEL_MAP, seed=0).images == (expected[0],)
            for _ in range(300):
                connection = stack.enter_context(http2.connect(gateway.address))
                with suppress(ConnectionError):  # one too many
                    connection.sendall(http2.PREFACE + http2.settings())
            # It keeps descriptors back: to be looked at, and for files that change.
            assert gateway.get("/healthz") == "ok\n"
            assert Footprint.of(gateway).descriptors <= DESCRIPTORS - 32
            assert client.synthesize("faces64", LABEL_MAP, seed=1).images == (expected[1],)
        with Client(gateway.address, timeout=60) as client:
            assert client.synthesize("faces64", LABEL_MAP, seed=2).images == (expected[2],)
        found = leaks(gateway, before)
        assert found.keys() <= {"memory_bytes"}, found  # it was not warmed up with this
