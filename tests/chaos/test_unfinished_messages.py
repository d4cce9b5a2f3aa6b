"""Callers who announce large messages, send most of them and then nothing: what a gateway holds of these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maskweave_client import Client
from tests.support.footprint import Footprint
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.http2 import SYNTHESIZE, Sender
from tests.support.key_file import new_key, write_keys
from tests.support.load import LABEL_MAP
from tests.support.promises import in_time

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MIB = 2**20
MESSAGE_BYTES = 16 * MIB
STREAMS = 20
PLACES = 2
MESSAGE_SECONDS = 3  # what health checks and reflection have as well

# What a gateway's memory goes up and down by, and the frames that gRPC takes in of each stream before anybody
# waits for its message.
NOISE_BYTES = 12 * MIB


@contextmanager
def senders(gateway: GatewayProcess, path: str = SYNTHESIZE) -> Iterator[Sender]:
    """Twenty calls on one connection; each announces 16 MiB and will send 15 of them."""
    sender = Sender(gateway.address, message_bytes=MESSAGE_BYTES - 1, sent_bytes=15 * MIB)
    try:
        for number in range(STREAMS):
            sender.begin(2 * number + 1, path=path)
        yield sender
    finally:
        sender.close()


def test_without_a_key_nothing_is_held(repository: Path, tmp_path: Path) -> None:
    _, entry = new_key()
    keys = write_keys(tmp_path / "keys.toml", entry)
    with gateway_process(repository, api_keys_file=keys, log_level="warning") as gateway:
        before = Footprint.of(gateway).memory_bytes
        with senders(gateway) as sender:
            sender.push(2.0)
            wait_until(
                lambda: sender.push(0.1) or len(sender.ended) == STREAMS,  # type: ignore[func-returns-value]
                lambda: f"only {len(sender.ended)} calls were refused",
            )
            assert sender.sent <= 8 * MIB  # of 300
            assert Footprint.of(gateway).memory_bytes - before <= NOISE_BYTES
        refused = gateway.metric("grpc_server_handled_total", grpc_code="Unauthenticated")
        assert refused == STREAMS


def test_one_caller_holds_no_more_than_its_places_and_not_for_long(repository: Path) -> None:
    with gateway_process(
        repository,
        max_message_bytes=MESSAGE_BYTES,
        max_pending_messages_per_caller=PLACES,
        message_timeout_seconds=MESSAGE_SECONDS,
        default_timeout_seconds=60,
        log_level="warning",
    ) as gateway:
        before = Footprint.of(gateway).memory_bytes
        with senders(gateway) as sender, in_time(MESSAGE_SECONDS):
            most = 0
            for _ in range(10):
                sender.push(0.2)
                most = max(most, Footprint.of(gateway).memory_bytes - before)
            assert most <= PLACES * MESSAGE_BYTES + NOISE_BYTES
            # Somebody else is served meanwhile, though this one holds all its places.
            with Client(gateway.address) as client:
                assert client.models()
            wait_until(
                lambda: sender.push(0.2) or len(sender.ended) >= PLACES,  # type: ignore[func-returns-value]
                lambda: "the calls whose messages never ended were kept",
            )
        wait_until(
            lambda: gateway.metric("maskweave_requests_in_flight") == 0, lambda: "calls were left in progress"
        )
        with Client(gateway.address) as client:
            assert client.synthesize("faces64", LABEL_MAP, seed=1).images


def peak_bytes(gateway: GatewayProcess) -> int:
    """The most memory that its process has had at a time."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * 1024


def test_a_compressed_message_is_not_unpacked_beyond_the_limit(repository: Path, tmp_path: Path) -> None:
    """128 MiB of zeros in an eighth of one: gRPC unpacks before anybody here sees the message."""
    _, entry = new_key()
    keys = write_keys(tmp_path / "keys.toml", entry)
    with (
        gateway_process(
            repository, api_keys_file=keys, max_message_bytes=MESSAGE_BYTES, log_level="warning"
        ) as gateway,
        channel_to(gateway) as channel,
    ):
        before = peak_bytes(gateway)
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.RpcError) as caught:
            check(bytes(8 * MESSAGE_BYTES), compression=grpc.Compression.Gzip, timeout=60)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert peak_bytes(gateway) <= before + 3 * MESSAGE_BYTES + NOISE_BYTES
        assert check(b"", timeout=60)


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("/grpc.health.v1.Health/Check", 1),
        ("/grpc.health.v1.Health/Watch", 1),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", 2),
    ],
)
def test_open_health_checks_hold_little(repository: Path, tmp_path: Path, path: str, places: int) -> None:
    """They need no key, nor does who sends large ones: few at a time are taken in, and not for long."""
    _, entry = new_key()
    keys = write_keys(tmp_path / "keys.toml", entry)
    with gateway_process(
        repository, api_keys_file=keys, max_message_bytes=MESSAGE_BYTES, log_level="warning"
    ) as gateway:
        before = Footprint.of(gateway).memory_bytes
        with senders(gateway, path) as sender, in_time(MESSAGE_SECONDS):
            most = 0

            def ended() -> bool:
                nonlocal most
                sender.push(0.2)
                most = max(most, Footprint.of(gateway).memory_bytes - before)
                return len(sender.ended) == STREAMS

            wait_until(ended, lambda: f"only {len(sender.ended)} calls were ended")
            assert most <= places * MESSAGE_BYTES + NOISE_BYTES
        with grpc.insecure_channel(gateway.address, (("grpc.enable_http_proxy", 0),)) as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
