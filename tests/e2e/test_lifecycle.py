"""Starting, being watched, running out of time, being cancelled, and stopping without losing a request."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import AsyncClient, Client, DeadlineExceeded, Overloaded, Unavailable
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.promises import in_time
from tests.support.slow_pack import SLOW_ONE_SECOND

SERVICE = "maskweave.v1.SynthesisService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SMALL = np.zeros((4, 4), np.uint8)
ONE_SECOND = [[SLOW_ONE_SECOND]]

HELD_SECONDS = 0.35
"""For so long a stop holds new calls, and tells them, whatever else there is to do."""

ENGINE_SECONDS = 1.5
"""So long after the grace a stop waits for workers that nothing interrupts."""


@pytest.fixture
def own_gateway(repository: Path) -> Iterator[GatewayProcess]:
    """A gateway for one test, which may end it."""
    with gateway_process(repository, worker_threads=2) as running:
        yield running


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_check(gateway: GatewayProcess, service: str) -> None:
    with channel_to(gateway) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert reply.status == SERVING


def test_health_of_an_unknown_service(gateway: GatewayProcess) -> None:
    with channel_to(gateway) as channel, pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="unknown"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_http_health(gateway: GatewayProcess) -> None:
    assert gateway.get("/healthz") == "ok\n"


def test_reflection_lists_and_describes_the_service(gateway: GatewayProcess) -> None:
    with channel_to(gateway) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) >= {SERVICE, "grpc.health.v1.Health"}
        file = database.FindFileContainingSymbol(SERVICE)
    assert [method.name for method in file.service[0].method] == [
        "ListModels",
        "GetModel",
        "Synthesize",
        "SynthesizeStream",
        "Paint",
        "EncodeStyles",
        "Morph",
        "Edit",
        "ReadLabelMap",
    ]


def test_reflection_can_be_switched_off(repository: Path) -> None:
    with gateway_process(repository, reflection=False) as gateway, channel_to(gateway) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_grpcurl_line_printed_at_start_works(gateway: GatewayProcess) -> None:
    grpcurl = Path(sys.executable).parent / "grpcurl"
    (line,) = (line for line in gateway.output.splitlines() if line.startswith("try "))
    command = line.removeprefix("try ").strip().replace("grpcurl", str(grpcurl), 1)
    printed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    (image,) = json.loads(printed)["images"]
    assert (image["format"], image["width"], image["seed"]) == ("IMAGE_FORMAT_PNG", 64, 7)


def test_settings_are_printed_at_start(gateway: GatewayProcess, repository: Path) -> None:
    assert re.search(rf"^model_repository += {re.escape(str(repository))}$", gateway.output, re.MULTILINE)


def test_sigterm_drains(own_gateway: GatewayProcess) -> None:
    """The request in progress is answered, watchers are told, new calls are refused, the exit is clean."""
    with (
        Client(own_gateway.address) as client,
        channel_to(own_gateway) as channel,
        ThreadPoolExecutor() as pool,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert next(watch).status == SERVING
        answer = pool.submit(client.synthesize, "slow", SMALL, latents=ONE_SECOND)
        own_gateway.wait_until_in_flight(1)

        own_gateway.terminate()

        assert [reply.status for reply in watch] == [NOT_SERVING]
        assert len(answer.result().images) == 1
        assert own_gateway.wait() == 0
        assert "stopped" in own_gateway.output
        with pytest.raises(Unavailable):
            client.synthesize("slow", SMALL, timeout=2)


def test_sigterm_goes_on_serving_while_balancers_notice(repository: Path) -> None:
    with gateway_process(repository, shutdown_delay_seconds=600) as gateway, channel_to(gateway) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        gateway.terminate()
        wait_until(lambda: health.Check(request).status != SERVING, lambda: "it reports ready")
        # A new connection, as of a caller who has not heard of it yet.
        with Client(gateway.address) as client:
            assert client.synthesize("slow", SMALL, latents=[[0.0]]).images
        assert gateway.get("/livez") == "ok\n"
        gateway.terminate()  # nobody waits so long here
        assert gateway.wait() == -signal.SIGTERM


def test_it_stops_when_the_balancers_have_had_their_time(repository: Path) -> None:
    """Not before, and not later than the time for the held calls and a busy machine can explain."""
    with (
        gateway_process(repository, shutdown_delay_seconds=2) as gateway,
        in_time(2 + HELD_SECONDS, at_least=2),
    ):
        gateway.terminate()
        assert gateway.wait() == 0


def test_a_connection_of_some_age_is_ended_without_losing_a_call(repository: Path) -> None:
    with gateway_process(repository, max_connection_age_seconds=0.5) as gateway:
        seen: set[str] = set()
        with in_time(0.5 * 1.1, at_least=0.5 * 0.9), Client(gateway.address) as client:

            def on_another_connection() -> bool:
                assert client.synthesize("slow", SMALL, latents=[[0.0]]).images
                seen.update(gateway.peers())
                return len(seen) > 1

            wait_until(on_another_connection, lambda: f"no connection but {seen}")


def test_sigterm_waits_no_longer_than_the_grace(repository: Path) -> None:
    """What is asked of it takes minutes, far more than the grace and what a busy machine explains."""
    with (
        gateway_process(repository, worker_threads=2, shutdown_grace_seconds=1) as gateway,
        Client(gateway.address, timeout=600) as client,
        ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(client.synthesize, "slow", SMALL, latents=[[20 * SLOW_ONE_SECOND]] * 16)
        gateway.wait_until_in_flight(1)
        with in_time(1 + ENGINE_SECONDS):
            with in_time(1):
                gateway.terminate()
                with pytest.raises(Unavailable):
                    answer.result()
            assert gateway.wait() == 0


def test_a_second_signal_ends_the_process_at_once(repository: Path) -> None:
    with (
        gateway_process(repository, worker_threads=2, shutdown_grace_seconds=600) as gateway,
        Client(gateway.address, timeout=600) as client,
        ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(client.synthesize, "slow", SMALL, latents=[[20 * SLOW_ONE_SECOND]] * 16)
        gateway.wait_until_in_flight(1)
        gateway.terminate()
        gateway.wait_for_output("stopping")
        with in_time(0):
            gateway.terminate()
            assert gateway.wait() == -signal.SIGTERM
        with pytest.raises(Unavailable):
            answer.result()


def test_deadline_passes(gateway: GatewayProcess, client: Client) -> None:
    assert client.synthesize("slow", SMALL, latents=[[0.0]]).images  # it is connected
    before = gateway.metric("maskweave_failures_total", reason="DEADLINE_EXCEEDED")

    def counted() -> bool:
        """On a busy machine the call may come late, and its caller give up before the gateway does."""
        with pytest.raises(DeadlineExceeded) as caught:
            client.synthesize("slow", SMALL, latents=ONE_SECOND * 16, timeout=1)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        return gateway.metric("maskweave_failures_total", reason="DEADLINE_EXCEEDED") > before

    wait_until(counted, lambda: "none was counted")
    gateway.wait_until_in_flight(0)
    assert client.synthesize("slow", SMALL, latents=[[0.0]]).images


def test_service_has_a_deadline_of_its_own(repository: Path) -> None:
    with (
        gateway_process(repository, default_timeout_seconds=0.1) as gateway,
        channel_to(gateway) as channel,
        in_time(0.1),
        pytest.raises(grpc.RpcError) as caught,
    ):
        pb_grpc.SynthesisServiceStub(channel).Synthesize(
            pb.SynthesizeRequest(
                model="slow",
                label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1)),
                latents=pb.LatentList(latents=[pb.Latent(values=ONE_SECOND[0])]),
            )
        )
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_cancelled_call_makes_room(own_gateway: GatewayProcess) -> None:
    async with AsyncClient(own_gateway.address) as client:
        # More than there are engine threads: most of these have not begun when they are cancelled.
        tasks = [
            asyncio.create_task(client.synthesize("slow", SMALL, latents=ONE_SECOND * 16)) for _ in range(4)
        ]
        await asyncio.to_thread(own_gateway.wait_until_in_flight, 4)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        await asyncio.to_thread(own_gateway.wait_until_in_flight, 0)
        # 64 seconds of work were dropped; what had begun ends soon.
        assert (await client.synthesize("slow", SMALL, latents=[[0.0]], timeout=60)).images
    assert 'grpc_code="Canceled"' in own_gateway.get("/metrics")


def test_closing_a_stream_early_cancels_the_rest(own_gateway: GatewayProcess) -> None:
    with Client(own_gateway.address) as client:
        stream = client.synthesize_stream("slow", SMALL, latents=[[0.0]] + ONE_SECOND * 15)
        assert next(stream).index == 0
        stream.close()
        own_gateway.wait_until_in_flight(0, "SynthesizeStream")
        assert client.synthesize("slow", SMALL, latents=[[0.0]], timeout=60).images


def test_closing_a_stream_before_its_first_image_leaves_nothing_behind(own_gateway: GatewayProcess) -> None:
    with Client(own_gateway.address) as client:
        client.synthesize_stream("slow", SMALL, latents=ONE_SECOND * 16).close()
        assert client.synthesize("slow", SMALL, latents=[[0.0]]).images
    assert own_gateway.metric("grpc_server_started_total", grpc_method="SynthesizeStream") == 0


def test_more_requests_than_allowed_are_refused_as_overload(repository: Path) -> None:
    with (
        gateway_process(repository, worker_threads=1, max_concurrent_rpcs=1) as gateway,
        Client(gateway.address, retry=None) as client,
    ):
        first = client.synthesize_stream("slow", SMALL, latents=[[0.0], *ONE_SECOND * 15])
        assert next(first).index == 0  # it is in progress, and will be until it is closed
        with pytest.raises(Overloaded, match="1 requests are in progress") as caught:
            client.synthesize("slow", SMALL)
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.retry_after_seconds is not None
        first.close()
        gateway.wait_until_in_flight(0, "SynthesizeStream")
        assert client.synthesize("slow", SMALL, latents=[[0.0]]).images


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_a_port_that_is_taken_ends_the_start_with_a_message(
    gateway: GatewayProcess, repository: Path, kind: str
) -> None:
    port = gateway.address.rpartition(":")[2]
    with pytest.raises(
        AssertionError, match=f"cannot listen on 127.0.0.1:{port}.*--{kind}-host and --{kind}-port"
    ) as caught:
        GatewayProcess(repository, {f"{kind}_port": port})
    assert "Traceback" not in str(caught.value)
    assert kind == "http" or "model loaded" in str(caught.value)


def test_a_broken_repository_ends_the_start_with_every_problem(repository: Path, tmp_path: Path) -> None:
    broken = tmp_path / "repository"
    shutil.copytree(repository, broken)
    config = broken / "faces64_label_map" / "config.pbtxt"
    config.write_text(
        config.read_text()
        .replace("maskweave.latent_scale", "maskweave.latent_scales")
        .replace("#1f1f1f", "red")
    )
    with pytest.raises(AssertionError) as caught:
        GatewayProcess(broken)
    printed = str(caught.value)
    assert 'faces64_label_map/config.pbtxt: parameters["maskweave.latent_scale"]: missing' in printed
    assert "parameters[\"maskweave.palette\"][0][color]: got 'red'" in printed
    assert "Traceback" not in printed


def test_bad_settings_end_the_start_with_a_message() -> None:
    command = [sys.executable, "-m", "maskweave_cli", "serve", "--grpc-port", "70000", "--log-level", "loud"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "grpc_port (--grpc-port): got '70000'; allowed: less than or equal to 65535" in ended.stderr
    assert "log_level (--log-level): got 'loud'; allowed: 'debug', 'info'" in ended.stderr


def test_many_clients_at_once(own_gateway: GatewayProcess) -> None:
    """Many clients at once: every one is answered, and nothing is left in progress."""
    barrier = threading.Barrier(16)

    def one(seed: int) -> int:
        with Client(own_gateway.address) as client:
            barrier.wait()
            return len(client.synthesize("faces64", np.zeros((64, 64), np.uint8), seed=seed).images)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(16))) == [1] * 16
    own_gateway.wait_until_in_flight(0)
