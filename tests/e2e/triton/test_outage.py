"""Tritons that crash, come back, come back changed, or are not there at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from maskweave_client import Client, Unavailable
from tests.e2e.triton.support import triton_backed
from tests.support.gateway_process import GatewayProcess, channel_to, run_serve, wait_until
from tests.support.load import CALL_SECONDS, LABEL_MAP, Load, expected_images
from tests.support.promises import watched_machine
from tests.support.triton_process import TritonProcess, triton_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICE = "maskweave.v1.SynthesisService"


@pytest.fixture
def own_triton(small_repository: Path) -> Iterator[TritonProcess]:
    """A Triton for one test, which may end it."""
    with triton_process(small_repository) as running:
        yield running


def status_of(gateway: GatewayProcess, path: str) -> int:
    try:
        gateway.get(path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def health_of(gateway: GatewayProcess) -> str:
    with channel_to(gateway) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def wait_for_health(gateway: GatewayProcess, wanted: str) -> None:
    wait_until(lambda: health_of(gateway) == wanted, lambda: f"health is not {wanted}:\n{gateway.output}")


def test_a_crash_under_load_and_the_return(own_triton: TritonProcess) -> None:
    with triton_backed(own_triton) as gateway:
        expected = expected_images(gateway)
        with channel_to(gateway) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            with watched_machine() as machine, Load(gateway, expected) as load:
                load.wait_for("right", 20)
                for _ in range(2):
                    own_triton.kill()
                    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
                    assert (status_of(gateway, "/healthz"), status_of(gateway, "/livez")) == (503, 200)
                    gateway.wait_for_metric("maskweave_engine_ready 0.0")
                    load.wait_for("UNAVAILABLE: ENGINE_UNREACHABLE", 20)

                    own_triton.start()
                    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
                    assert status_of(gateway, "/healthz") == 200
                    load.wait_for("right", 20)
        assert set(load.outcomes) == {"right", "UNAVAILABLE: ENGINE_UNREACHABLE"}
        machine.check(load.longest, CALL_SECONDS)
        gateway.wait_for_metric('maskweave_requests_in_flight{grpc_method="Synthesize"} 0.0')


def test_an_orderly_restart_loses_no_call_without_saying_so(own_triton: TritonProcess) -> None:
    with triton_backed(own_triton) as gateway:
        expected = expected_images(gateway)
        with Load(gateway, expected) as load:
            load.wait_for("right", 20)
            own_triton.stop()
            own_triton.start()
            load.wait_for("right", 20)
    assert {outcome.partition(":")[0] for outcome in load.outcomes} <= {"right", "UNAVAILABLE"}


def test_callers_are_told_when_to_come_back(own_triton: TritonProcess) -> None:
    with triton_backed(own_triton) as gateway:
        own_triton.kill()
        wait_for_health(gateway, "NOT_SERVING")
        options = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
        with Client(channel=grpc.insecure_channel(gateway.address, options)) as client:
            with pytest.raises(Unavailable) as caught:
                client.synthesize("faces64", LABEL_MAP)
            # What does not need the models is there all the same.
            assert client.model("faces64").name == "faces64"
    assert caught.value.reason == "ENGINE_UNREACHABLE"
    assert caught.value.retry_after_seconds is not None
    assert caught.value.request_id


def inferences(triton: TritonProcess) -> int:
    count: int = triton.statistics("faces64_label_map")["inference_count"]
    return count


def test_of_two_tritons_one_is_enough(own_triton: TritonProcess, triton: TritonProcess) -> None:
    with triton_backed(own_triton, triton) as gateway:
        expected = expected_images(gateway)
        with Load(gateway, expected) as load:
            load.wait_for("right", 20)
            shares = [
                each.statistics("faces64_label_map")["inference_count"] for each in (own_triton, triton)
            ]
            own_triton.kill()
            load.wait_for("right", 50)
            assert health_of(gateway) == "SERVING"
            own_triton.start()
            load.wait_for("right", 50)
            wait_until(lambda: inferences(own_triton) > 0, lambda: "the one that came back is not used")
    assert min(shares) > 0
    assert set(load.outcomes) == {"right"}


def test_a_triton_that_comes_back_with_other_models_is_not_used(
    small_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(small_repository, repository)
    with triton_process(repository) as triton, triton_backed(triton) as gateway:
        triton.kill()
        wait_for_health(gateway, "NOT_SERVING")
        config = repository / "faces64_label_map" / "config.pbtxt"
        original = config.read_text()
        config.write_text(original.replace('"1.2.3"', '"2.0.0"'))
        triton.start()
        gateway.wait_for_output("model 'faces64_label_map' has other parameters")
        assert health_of(gateway) == "NOT_SERVING"
        assert "restart the gateway to serve them" in gateway.output

        triton.kill()
        config.write_text(original)
        triton.start()
        wait_for_health(gateway, "SERVING")


def ended(**settings: object) -> subprocess.CompletedProcess[str]:
    """A gateway on Triton that cannot start."""
    return run_serve(engine="triton", grpc_port=0, http_port=0, **settings)


def start_gateway(**settings: object) -> subprocess.Popen[str]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "maskweave_cli", "serve", "--grpc-port=0", "--http-port=0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_gateway_waits_for_its_triton(small_repository: Path) -> None:
    triton = TritonProcess(small_repository)
    timer = threading.Timer(1.0, triton.start)
    timer.start()
    try:
        with triton_backed(triton) as gateway:  # is up only when Triton is
            assert health_of(gateway) == "SERVING"
    finally:
        timer.join()
        triton.close()


def test_a_start_without_triton_ends_with_a_message() -> None:
    gateway = ended(triton_url="127.0.0.1:9", triton_startup_timeout_seconds=0.5)
    assert gateway.returncode == 1
    told = "Error: No inference server was ready within 0.5 s (127.0.0.1:9: it does not answer"
    assert told in gateway.stdout
    assert "Traceback" not in gateway.stdout


def test_a_gateway_that_waits_can_be_stopped() -> None:
    gateway = start_gateway(engine="triton", triton_url="127.0.0.1:9")
    assert gateway.stdout is not None
    for line in gateway.stdout:
        if "waiting for the inference server" in line:
            break
    gateway.terminate()
    printed, _ = gateway.communicate(timeout=120)
    assert gateway.returncode == 0, printed
    assert "stopped" in printed
    assert "Traceback" not in printed


def test_triton_needs_an_address() -> None:
    gateway = ended()
    assert gateway.returncode == 2
    assert "engine triton needs triton_url, for example localhost:8001" in gateway.stdout


def test_every_problem_of_the_models_is_a_line_and_nothing_is_served(
    small_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(small_repository, repository)
    config = repository / "slow_label_map_fused" / "config.pbtxt"
    config.write_text(
        config.read_text().replace("#1f1f1f", "black").replace("maskweave.title", "maskweave.titel")
    )
    with triton_process(repository) as triton:
        gateway = ended(triton_url=triton.url)
        assert gateway.returncode == 1
        assert "The model repository cannot be served, 2 problems:" in gateway.stdout
        assert 'slow_label_map_fused/config.pbtxt: parameters["maskweave.title"]: missing' in gateway.stdout
        assert "parameters[\"maskweave.palette\"][0][color]: got 'black'" in gateway.stdout

        gateway = ended(triton_url=triton.url, triton_models="faces64_label_map,faces65,faces66")
        assert gateway.returncode == 1
        for name in ("faces65", "faces66"):
            assert f"{triton.url}: {name}/config.pbtxt: there is no such model" in gateway.stdout
