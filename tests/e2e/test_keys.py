"""Keys over real sockets: who is let in, for what, how fast; keys that change; and no key in any log."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import AsyncClient, Client, Overloaded, PermissionDenied, Unauthenticated
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process
from tests.support.key_file import new_key, write_keys
from tests.support.slow_pack import SLOW_ONE_SECOND

SMALL = np.zeros((64, 64), np.uint8)
TINY = np.zeros((4, 4), np.uint8)
STUDIO_KEY, STUDIO = new_key("studio")
EDITOR_KEY, EDITOR = new_key("editor", "edit")
WRONG_KEY, _ = new_key("wrong")
FAST_KEY, FAST = new_key("fast", requests_per_second=0.2, burst=3)
MANY_KEY, MANY = new_key("many", max_concurrent=2)
KEYS = (STUDIO_KEY, EDITOR_KEY, WRONG_KEY, FAST_KEY, MANY_KEY)


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keys(tmp_path_factory.mktemp("keys") / "keys.toml", STUDIO, EDITOR, FAST, MANY)


@pytest.fixture(scope="module")
def guarded(repository: Path, keys_file: Path) -> Iterator[GatewayProcess]:
    """A gateway that asks for keys; whatever it prints is looked through for them at the end."""
    with gateway_process(repository, api_keys_file=keys_file, log_level="debug", worker_threads=2) as gateway:
        yield gateway
    for key in KEYS:
        assert key not in gateway.output
        assert key[:16] not in gateway.output
    for entry in (STUDIO, EDITOR):
        assert entry.hash not in gateway.output
        assert entry.salt not in gateway.output


def test_a_key_lets_in(guarded: GatewayProcess) -> None:
    with Client(guarded.address, api_key=STUDIO_KEY) as client:
        assert client.models()
        assert client.synthesize("faces64", SMALL, seed=1).images
        assert len(list(client.synthesize_stream("faces64", SMALL, number_of_images=2))) == 2


async def test_the_async_client_sends_it_too(guarded: GatewayProcess) -> None:
    async with AsyncClient(guarded.address, api_key=STUDIO_KEY) as client:
        assert await client.models()
        assert len([each async for each in client.synthesize_stream("faces64", SMALL)]) == 1


def test_without_a_key_nothing_is_let_in(guarded: GatewayProcess) -> None:
    with Client(guarded.address) as client:
        for call in (
            client.models,
            lambda: client.model("faces64"),
            lambda: client.synthesize("faces64", SMALL),
            lambda: list(client.synthesize_stream("faces64", SMALL)),
        ):
            with pytest.raises(Unauthenticated, match="needs a key") as caught:
                call()
            assert caught.value.reason == "UNAUTHENTICATED"
            assert caught.value.request_id


def test_a_key_that_is_not_known_is_refused_and_not_repeated(guarded: GatewayProcess) -> None:
    with Client(guarded.address, api_key=WRONG_KEY) as client:
        with pytest.raises(Unauthenticated, match="not known") as caught:
            client.models()
        assert WRONG_KEY not in str(caught.value) + str(caught.value.metadata)
    guarded.wait_for_output('reason="UNAUTHENTICATED"')


def test_a_key_for_something_else_may_look_at_models_alone(guarded: GatewayProcess) -> None:
    with Client(guarded.address, api_key=EDITOR_KEY) as client:
        assert client.model("faces64")
        with pytest.raises(PermissionDenied, match="this needs synthesize") as caught:
            client.synthesize("faces64", SMALL)
        assert caught.value.metadata == {"key_id": "editor", "needed_scopes": "synthesize"}


def test_too_fast_is_told_when_to_come_back_and_does_not_hold_up_others(guarded: GatewayProcess) -> None:
    with Client(guarded.address, api_key=FAST_KEY, retry=None) as client:
        for _ in range(3):
            client.models()
        with pytest.raises(Overloaded, match=r"requests_per_second 0\.2") as caught:
            client.models()
    assert caught.value.reason == "QUOTA_EXCEEDED"
    assert caught.value.metadata["quota"] == "requests_per_second"
    assert caught.value.retry_after_seconds is not None
    assert 0 < caught.value.retry_after_seconds <= 5
    with Client(guarded.address, api_key=STUDIO_KEY) as client:
        assert client.models()
    guarded.wait_for_metric('maskweave_failures_total{reason="QUOTA_EXCEEDED"} 1.0')


async def test_too_many_at_once_are_refused_until_one_ends(guarded: GatewayProcess) -> None:
    async with AsyncClient(guarded.address, api_key=MANY_KEY) as client:
        slow = [
            asyncio.ensure_future(client.synthesize("slow", TINY, latents=[[SLOW_ONE_SECOND]]))
            for _ in range(2)
        ]
        await asyncio.to_thread(guarded.wait_until_in_flight, 2)
        with pytest.raises(Overloaded, match="max_concurrent 2") as caught:
            await client.models()
        assert caught.value.retry_after_seconds is None
        await asyncio.gather(*slow)
        assert await client.models()


def test_health_and_reflection_are_open_unless_closed(guarded: GatewayProcess) -> None:
    with channel_to(guarded) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert ProtoReflectionDescriptorDatabase(channel).get_services()


def test_health_and_reflection_can_be_closed(repository: Path, keys_file: Path) -> None:
    settings = {"api_keys_file": keys_file, "health_open": False, "reflection_open": False}
    request = health_pb2.HealthCheckRequest()
    with gateway_process(repository, **settings) as gateway:
        with channel_to(gateway) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for metadata in ((), (("authorization", f"Bearer {WRONG_KEY}"),)):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Check(request, metadata=metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                with pytest.raises(grpc.RpcError) as caught:
                    next(stub.Watch(request, metadata=metadata))
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as caught:
                ProtoReflectionDescriptorDatabase(channel).get_services()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            for key in (STUDIO_KEY, EDITOR_KEY):
                metadata = (("x-api-key", key),)
                assert stub.Check(request, metadata=metadata).status == health_pb2.HealthCheckResponse.SERVING
        gateway.get("/healthz")  # for those that look after the process, on a port of its own
        # They are no calls of the gateway, answered or refused: not in its metrics, and not in its log.
        assert "maskweave_failures_total{" not in gateway.get("/metrics")
    assert "call method=" not in gateway.output
    assert WRONG_KEY not in gateway.output


def test_a_key_in_the_wrong_place_is_masked_in_the_log(guarded: GatewayProcess) -> None:
    metadata = (("x-request-id", WRONG_KEY), ("authorization", f"Bearer {STUDIO_KEY}"))
    with channel_to(guarded) as channel, pytest.raises(grpc.RpcError):
        pb_grpc.SynthesisServiceStub(channel).GetModel(pb.GetModelRequest(name=WRONG_KEY), metadata=metadata)
    guarded.wait_for_output("mwk_***")


def test_keys_change_without_a_restart_and_without_a_failed_call(repository: Path, tmp_path: Path) -> None:
    new_studio_key, new_studio = new_key("studio-2")
    file = write_keys(tmp_path / "keys.toml", STUDIO)
    with (
        gateway_process(repository, api_keys_file=file) as gateway,
        Client(gateway.address, api_key=STUDIO_KEY) as old,
        Client(gateway.address, api_key=new_studio_key) as new,
    ):
        assert old.models()
        with pytest.raises(Unauthenticated):
            new.models()

        write_keys(file, STUDIO, new_studio)
        while "keys reloaded" not in gateway.output:
            assert old.synthesize("faces64", SMALL, seed=1).images
        assert old.models()
        assert new.models()

        write_keys(file, new_studio)
        while gateway.output.count("keys reloaded") < 2:
            assert new.models()
        with pytest.raises(Unauthenticated):
            old.models()

        file.write_text(f'[[keys]]\nid = "{STUDIO_KEY}"\n')
        gateway.wait_for_output("the new keys cannot be used, staying with the old")
        assert new.models()
        file.write_text("")
        gateway.wait_for_output("has no keys")
        assert new.models()
        gateway.wait_for_metric('maskweave_reloads_total{result="ok",what="keys"} 2.0')
        gateway.wait_for_metric('maskweave_reloads_total{result="refused",what="keys"} 2.0')
    assert STUDIO_KEY not in gateway.output
    assert gateway.output.count("cannot be used, staying with the old") == 2


async def test_fairness_is_between_keys_and_not_between_machines(repository: Path, tmp_path: Path) -> None:
    """One key's images fill the room; another key from the same machine still gets its turn."""
    (greedy_key, greedy), (modest_key, modest) = new_key("greedy"), new_key("modest")
    file = write_keys(tmp_path / "keys.toml", greedy, modest)
    settings = {"api_keys_file": file, "concurrency_limit": 1, "queue_capacity": 2, "worker_threads": 1}
    with gateway_process(repository, **settings) as gateway:
        async with (
            AsyncClient(gateway.address, api_key=greedy_key, retry=None, timeout=250) as one,
            AsyncClient(gateway.address, api_key=modest_key, timeout=250) as other,
        ):

            async def slow(client: AsyncClient) -> object:
                return await client.synthesize("slow", TINY, latents=[[SLOW_ONE_SECOND]])

            greedy_calls = [asyncio.ensure_future(slow(one)) for _ in range(3)]
            await asyncio.to_thread(gateway.wait_for_metric, "maskweave_queue_depth 2.0")
            assert await slow(other)
            ended = await asyncio.gather(*greedy_calls, return_exceptions=True)
    assert sum(isinstance(each, Overloaded) for each in ended) == 1


def test_the_key_is_not_in_any_other_form_in_the_log(guarded: GatewayProcess) -> None:
    raw = base64.urlsafe_b64decode(STUDIO_KEY.removeprefix("mwk_studio_") + "=")
    assert raw.hex() not in guarded.output


def test_a_session_ends_when_its_key_is_revoked(repository: Path, tmp_path: Path) -> None:
    key, entry = new_key("painter")
    _, other = new_key("other")
    file = write_keys(tmp_path / "keys.toml", entry)
    with (
        gateway_process(repository, api_keys_file=file) as gateway,
        Client(gateway.address, api_key=key) as client,
        client.paint("faces64", SMALL, seed=1) as painting,
    ):
        assert next(iter(painting)).image
        write_keys(file, other)
        gateway.wait_for_output("keys reloaded")
        painting.update(seed=2)
        with pytest.raises(Unauthenticated, match="revoked"):
            next(iter(painting))
