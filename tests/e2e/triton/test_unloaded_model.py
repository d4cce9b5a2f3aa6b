"""A Triton that answers but has lost one of its models: that model is not ready, all others are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient

from maskweave_client import Client, Unavailable
from tests.e2e.triton.support import triton_backed
from tests.support.gateway_process import GatewayProcess, channel_to
from tests.support.load import LABEL_MAP
from tests.support.triton_process import triton_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = "maskweave.v1.SynthesisService"
LOST = "faces64_label_map"
ANOTHER = np.zeros((4, 4), np.uint8)


class Serving(NamedTuple):
    """A gateway on a Triton whose models can be loaded and unloaded."""

    triton: InferenceServerClient
    gateway: GatewayProcess
    client: Client
    repository: Path


@pytest.fixture(scope="module")
def serving(small_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    repository = tmp_path_factory.mktemp("explicit") / "repository"
    shutil.copytree(small_repository, repository)
    with (
        triton_process(repository, "--model-control-mode=explicit", "--load-model=*") as triton,
        triton_backed(triton) as gateway,
        # Without retries, so that a test sees what the gateway says.
        grpc.insecure_channel(
            gateway.address, (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
        ) as channel,
        Client(channel=channel) as client,
    ):
        yield Serving(InferenceServerClient(triton.url), gateway, client, repository)


def reason(client: Client) -> str:
    """Why an image of `LOST` cannot be had; empty when it can."""
    try:
        client.synthesize("faces64", LABEL_MAP, seeds=[1])
    except Unavailable as error:
        return error.reason if error.retry_after_seconds else "no time to come back"
    return ""


def wait_until(condition: Callable[[], bool], gateway: GatewayProcess) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, gateway.output
        time.sleep(0.05)


def health(gateway: GatewayProcess) -> str:
    with channel_to(gateway) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def test_only_the_model_that_was_unloaded_is_not_ready_and_it_comes_back_by_itself(serving: Serving) -> None:
    triton, gateway, client, _ = serving
    triton.unload_model(LOST)
    assert reason(client) == "MODEL_NOT_READY"
    wait_until(lambda: f"{LOST} version 1 is not ready" in gateway.output, gateway)
    # Now the gateway has looked, and knows without asking.
    assert reason(client) == "MODEL_NOT_READY"
    client.synthesize("slow", ANOTHER, latents=[[0.0]])
    assert health(gateway) == "SERVING"
    assert gateway.get("/healthz")
    gateway.wait_for_metric("maskweave_engine_ready 1.0")

    triton.load_model(LOST)
    wait_until(lambda: reason(client) == "", gateway)
    assert health(gateway) == "SERVING"
    assert "inference server not ready" not in gateway.output


def test_a_step_that_was_unloaded_takes_along_what_is_made_of_it(serving: Serving) -> None:
    triton, gateway, client, _ = serving
    triton.unload_model("slow_stage")
    with pytest.raises(Unavailable) as caught:
        client.synthesize("slow", ANOTHER, latents=[[0.0]])
    wait_until(lambda: "slow_stage version 1 is not ready" in gateway.output, gateway)
    assert caught.value.reason == "MODEL_NOT_READY"
    assert reason(client) == ""
    assert health(gateway) == "SERVING"
    triton.load_model("slow_stage")
    wait_until(
        lambda: "inference server ready" in gateway.output.rpartition("slow_stage version 1")[2], gateway
    )
    client.synthesize("slow", ANOTHER, latents=[[0.0]])


def test_a_model_that_comes_back_as_another_is_not_served(serving: Serving) -> None:
    triton, gateway, client, repository = serving
    line = f"{LOST} version 1 is not ready"
    seen = gateway.output.count(line)
    triton.unload_model(LOST)
    wait_until(lambda: gateway.output.count(line) > seen, gateway)
    config = repository / LOST / "config.pbtxt"
    original = config.read_text()
    config.write_text(original.replace('"1.2.3"', '"2.0.0"'))
    triton.load_model(LOST)
    wait_until(lambda: f"model {LOST!r} has other parameters" in gateway.output, gateway)
    assert reason(client) == "MODEL_NOT_READY"
    assert "restart the gateway to serve it" in gateway.output
    client.synthesize("slow", ANOTHER, latents=[[0.0]])
    assert health(gateway) == "SERVING"
