"""The loop of an autoscaler with real parts: a day's load in a minute, on gateways that come and go.

Real are: the rendered ScaledObject, a Prometheus that scrapes the gateways, gateways as processes, and a
client that balances by itself over what a DNS server tells. The test does the arithmetic of Kubernetes,
twelve times as fast as rendered. Images take a fixed time and no processor, so that capacity does not depend
on the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.autoscaler import Autoscaler
from tests.support.chart import Manifest, manifests, named, sets, template
from tests.support.fleet import Fleet, fleet
from tests.support.gateway_process import PATIENCE_SECONDS
from tests.support.paced_triton import PACK, paced_triton
from tests.support.prometheus import Prometheus, prometheus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SPEED = 12.0
IMAGE_SECONDS, CONCURRENCY = 0.4, 2  # five images a second from each replica
NIGHT, DAY = 0.5, 12.0  # requests a second: one replica is enough, and two and a half are
# At night no two images meet: two at once ask for a second replica, and a slow machine bunches requests.
TARGET_SECONDS = 4.0
"""Ten times the time of an image. With one replica, callers would wait ever longer, beyond a minute."""

VALUES = {
    "gateway.allowPlaintext": True,
    "gateway.autoscaling.type": "keda",
    "gateway.autoscaling.minReplicas": 1,
    "gateway.autoscaling.maxReplicas": 5,
    "gateway.autoscaling.imagesInProgress": 1.6,
    "gateway.autoscaling.modelLoadSeconds": 60,
    "gateway.autoscaling.scaleDown.stabilizationSeconds": 120,
    "gateway.autoscaling.scaleDown.periodSeconds": 36,
    "gateway.autoscaling.keda.prometheusAddress": "http://prometheus.monitoring:9090",
}
LABELS = {"namespace": "faces", "job": "rel-maskweave", "track": "stable"}
REQUEST = pb.SynthesizeRequest(
    model=PACK, label_map=pb.LabelMap(raw=pb.RawLabelMap(data=bytes(16), width=4, height=4)), seed=1
)
# As clients inside a cluster are told to: docs/operations.md, Callers.
OPTIONS = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.enable_http_proxy", 0),
)


def scaled_object() -> Manifest:
    done = template(*sets(VALUES))
    assert done.returncode == 0, done.stderr
    return named(manifests(done.stdout), "ScaledObject", "rel-maskweave")


class Load:
    """Calls at a rate that the test changes, whether those before have been answered or not."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.rate = NIGHT
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[tuple[float, float]] = []
        self._stub: Any = pb_grpc.SynthesisServiceStub(channel)
        self._calls = set[asyncio.Task[None]]()

    async def run(self) -> None:
        due = time.monotonic()
        while True:
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            call = asyncio.create_task(self._ask())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def finish(self) -> None:
        """Wait for what has been asked."""
        await asyncio.gather(*self._calls)

    async def _ask(self) -> None:
        began = time.monotonic()
        try:
            await self._stub.Synthesize(REQUEST, timeout=120)
        except grpc.aio.AioRpcError as error:
            self.outcomes[f"{error.code().name}: {error.details()}"] += 1
        else:
            self.outcomes["OK"] += 1
            self.seconds.append((began, time.monotonic() - began))

    def p99(self, since: float, until: float) -> float:
        """Of the calls begun in a time."""
        return float(np.quantile([took for began, took in self.seconds if since <= began < until], 0.99))


async def control(scaler: Autoscaler, replicas: Fleet, asked: Prometheus) -> None:
    """Ask, decide, start and stop, as fast as the ScaledObject says."""
    while True:
        values = [await asyncio.to_thread(asked.value, query) for query in scaler.queries]
        wanted = scaler.decide(time.monotonic(), values)
        while replicas.size < wanted:
            await asyncio.to_thread(replicas.start_one)
        while replicas.size > wanted:
            await asyncio.to_thread(replicas.stop_one)
        await asyncio.sleep(scaler.polling_seconds)


async def until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    end = time.monotonic() + 2 * PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, complaint()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def running(*loops: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Loops that go on inside this context; one that fails is told at its end."""
    tasks = [asyncio.create_task(each) for each in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Fleet, Prometheus]]:
    """The gateways, and the Prometheus that scrapes those that are ready."""
    settings = {"engine": "triton", "concurrency_limit": CONCURRENCY, "max_connection_age_seconds": 3,
                "shutdown_delay_seconds": 2, "shutdown_grace_seconds": 30}  # fmt: skip
    (tmp_path / "prometheus").mkdir()
    with paced_triton(IMAGE_SECONDS) as (_, address), prometheus(tmp_path / "prometheus") as asked:

        def scrape(pages: Sequence[str]) -> None:
            asked.scrape([(page, {**LABELS, "pod": page}) for page in pages])

        with fleet(tmp_path, {**settings, "triton_url": address}, scrape) as replicas:
            replicas.start_one()
            yield replicas, asked


@pytest.mark.skipif(
    "MASKWEAVE_TEST_AUTOSCALER" not in os.environ,
    reason="its times are wall clock, and on a machine with other work it failed once of five: "
    "MASKWEAVE_TEST_AUTOSCALER=1 runs it",
)
async def test_a_day_of_load_loses_no_request_and_does_not_flap(parts: tuple[Fleet, Prometheus]) -> None:
    replicas, asked = parts
    scaler = Autoscaler(scaled_object()["spec"], SPEED)
    await until(lambda: asked.value("sum(up)") == 1, lambda: "the first gateway is not scraped")
    async with grpc.aio.insecure_channel(replicas.target, options=OPTIONS) as channel:
        load = Load(channel)
        async with running(load.run(), control(scaler, replicas, asked)):
            await asyncio.sleep(6)
            assert scaler.history == []
            for rate in np.linspace(NIGHT, DAY, 6):
                load.rate = float(rate)
                await asyncio.sleep(1)
            await until(
                lambda: replicas.size >= 3 and asked.value(scaler.queries[-1]) == 0,
                lambda: f"the day is not caught up with: {scaler.history}, {scaler.queries}",
            )
            noon = time.monotonic()
            await asyncio.sleep(10)
            evening = time.monotonic()
            for rate in np.linspace(DAY, NIGHT, 6):
                load.rate = float(rate)
                await asyncio.sleep(0.5)
            await until(lambda: scaler.replicas == 1, lambda: f"it stays large: {scaler.history}")
            await until(lambda: replicas.size == 1, lambda: "gateways do not stop")
            await asyncio.sleep(2)
        await load.finish()
    assert dict(load.outcomes) == {"OK": len(load.seconds)}
    assert replicas.exit_codes == [0] * len(replicas.exit_codes)
    assert load.p99(noon, evening) <= TARGET_SECONDS
    changes = np.diff([1, *(size for _, size in scaler.history)])
    assert (changes > 0).any()
    assert (changes < 0).any()
    # Up, and then down: what a backlog asked for may go again, but nothing that went is missed.
    assert (np.diff(np.sign(changes)) <= 0).all(), f"it flaps: {scaler.history}"


def test_without_data_nothing_is_taken_away_and_then_the_fallback_holds() -> None:
    scaler = Autoscaler(scaled_object()["spec"], speed=1.0)
    assert [scaler.decide(now, (None, 0.0)) for now in (0.0, 15.0)] == [1, 1]
    assert scaler.decide(30.0, (None, 0.0)) == 3  # the third in a row
    assert [scaler.decide(45.0 + 15 * n, (None, None)) for n in range(30)] == [3] * 30
    assert scaler.decide(600.0, (4.8, 0.0)) == 3


def test_an_average_value_is_divided_among_the_replicas_and_slowed_down_by_the_policies() -> None:
    scaler = Autoscaler(scaled_object()["spec"], speed=1.0)
    assert scaler.decide(0.0, (9.0, 0.0)) == 3  # six wanted; two may be added in a period
    assert scaler.decide(5.0, (9.0, 0.0)) == 3
    assert scaler.decide(16.0, (9.0, 0.0)) == 5  # the most
    assert scaler.decide(30.0, (7.6, 0.0)) == 5  # within a tenth
    assert scaler.decide(100.0, (0.0, 0.0)) == 5  # the window of two minutes
    assert scaler.decide(160.0, (0.0, 0.0)) == 4  # one in a period
    assert scaler.decide(170.0, (0.0, 0.0)) == 4
    assert scaler.decide(200.0, (0.0, 0.0)) == 3
