"""How the clients are connected: event loops, closing, and options that gRPC knows."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from maskweave_client import AsyncClient, Client, Retry
from maskweave_client._channel import DEFAULT_TIMEOUT_SECONDS, channel_options
from tests.support.fake_service import FakeService

LABEL_MAP = np.zeros((2, 2), np.uint8)
LIBRARY = Path(cygrpc.__file__).read_bytes()

LEAST_PING_SECONDS = 10
"""How often the service lets itself be pinged: see service/app/server.py."""


def test_an_asynchronous_client_may_be_made_before_its_event_loop_runs(
    address: str, service: FakeService
) -> None:
    client = AsyncClient(address)

    async def use() -> None:
        async with client:
            await client.synthesize("m", LABEL_MAP)

    asyncio.run(use())
    assert len(service.requests) == 1


def test_called_where_no_event_loop_runs_it_says_so(address: str) -> None:
    client = AsyncClient(address)
    with pytest.raises(RuntimeError, match="called where no event loop runs; call it in a coroutine"):
        client.paint("m", LABEL_MAP)
    with pytest.raises(RuntimeError, match="called where no event loop runs"):
        client.synthesize_stream("m", LABEL_MAP)
    asyncio.run(client.close())


def test_called_in_another_event_loop_it_says_so(address: str) -> None:
    client = AsyncClient(address)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.models())
        with pytest.raises(RuntimeError, match="in another event loop than before; make a client for each"):
            second.run(client.models())
        first.run(client.models())
        first.run(client.close())


def test_a_client_that_is_closed_says_so(address: str) -> None:
    client = Client(address)
    client.close()
    client.close()
    for call in (
        client.models,
        lambda: client.synthesize("m", LABEL_MAP),
        lambda: client.paint("m", LABEL_MAP),
    ):
        with pytest.raises(RuntimeError, match="The client is closed; make another one"):
            call()


@pytest.fixture
async def closed(address: str) -> AsyncClient:
    """An asynchronous client that was used and closed."""
    client = AsyncClient(address)
    await client.models()
    await client.close()
    await client.close()
    return client


async def test_an_asynchronous_client_that_is_closed_says_so(closed: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="The client is closed; make another one"):
        await closed.models()


async def test_closing_a_client_that_was_never_used() -> None:
    await AsyncClient().close()
    Client().close()


async def test_calls_have_a_deadline_of_their_own(address: str, service: FakeService) -> None:
    with Client(address) as client:
        client.models()
    async with AsyncClient(address) as other:
        await other.models()
    for remaining in service.remaining:
        assert 0 < remaining < DEFAULT_TIMEOUT_SECONDS + 1


@pytest.mark.parametrize("retry", [None, Retry(), Retry(attempts=1), Retry(attempts=5)])
@pytest.mark.parametrize("target", ["localhost:1", "gateway.example:443"])
def test_every_option_is_one_that_grpc_knows(target: str, retry: Retry | None) -> None:
    names = [name for name, _ in channel_options(target, retry)]
    assert len(names) == len(set(names))
    unknown = [name for name in names if name.encode() + b"\0" not in LIBRARY]
    assert not unknown


def test_a_name_that_grpc_does_not_know_would_be_found() -> None:
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms\0" not in LIBRARY


def test_pings_are_no_more_frequent_than_the_service_permits() -> None:
    options = dict(channel_options("localhost:1", None))
    assert int(options["grpc.keepalive_time_ms"]) >= 1000 * LEAST_PING_SECONDS * 1.5


def test_calls_are_spread_over_all_replicas_and_tried_again_as_asked() -> None:
    def config(retry: Retry | None) -> dict[str, object]:
        loaded: dict[str, object] = json.loads(
            str(dict(channel_options("gateway.example", retry))["grpc.service_config"])
        )
        assert loaded["loadBalancingConfig"] == [{"round_robin": {}}]
        return loaded

    assert "RESOURCE_EXHAUSTED" not in json.dumps(config(Retry()))
    assert re.search(r'"maxAttempts": 3\b', json.dumps(config(Retry(attempts=3))))
    for off in (None, Retry(attempts=1)):
        assert "methodConfig" not in config(off)
    assert dict(channel_options("gateway.example", None))["grpc.enable_retries"] == 0


def test_images_that_are_larger_than_grpcs_default_come_through(address: str, service: FakeService) -> None:
    service.model.description = "x" * (5 * 2**20)
    with Client(address) as client:
        assert len(client.models()[0].description) == 5 * 2**20


def test_a_channel_of_ones_own_is_used_and_closed(address: str) -> None:
    channel = grpc.insecure_channel(address)
    with Client(channel=channel) as client:
        client.models()
    with pytest.raises(ValueError, match="closed"):
        Client(channel=channel).models()
