"""The loop of an autoscaler with real parts: a day's load, on gateways that come and go.

Real are: the rendered ScaledObject and HorizontalPodAutoscaler, a Prometheus that scrapes the gateways,
gateways as processes, and a client that balances by itself over what a DNS server tells. The test does the
arithmetic of Kubernetes, step by step on a clock of its own: a step is a look of the autoscaler, as far apart
as rendered, and takes until Prometheus has scraped what the step before has made. Meanwhile no image gets
done, so that all replicas are seen at one moment. So no decision depends on how fast the machine is. Nor does
the load: so many callers ask again as soon as they are answered, and images take a fixed time and no
processor.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.autoscaler import Autoscaler, Rules, rules_of
from tests.support.chart import manifests, named, sets, template
from tests.support.fleet import Fleet, fleet
from tests.support.gateway_process import PATIENCE_SECONDS
from tests.support.paced_triton import PACK, PacedTriton, paced_triton
from tests.support.prometheus import Prometheus, prometheus

IMAGE_SECONDS, CONCURRENCY = 0.8, 2  # each replica makes two images at a time
NIGHT, NOON, EVENING = 1, 8, 2  # callers at a time: one replica is enough for one, five for eight
MOST = 5
SECONDS = 4 * PATIENCE_SECONDS
TARGET = 2
"""How long p99 may wait in the queue, told in images: whatever the machine does, eight callers of one replica
wait for three."""

VALUES = {
    "gateway.allowPlaintext": True,
    "gateway.autoscaling.minReplicas": 1,
    "gateway.autoscaling.maxReplicas": MOST,
    "gateway.autoscaling.imagesInProgress": 1.6,
    "gateway.autoscaling.modelLoadSeconds": 60,
    "gateway.autoscaling.scaleDown.stabilizationSeconds": 75,
    "gateway.autoscaling.scaleDown.periodSeconds": 15,
}
KEDA = {
    "gateway.autoscaling.type": "keda",
    "gateway.autoscaling.keda.prometheusAddress": "http://prometheus.monitoring:9090",
}
HPA = {"gateway.autoscaling.type": "hpa"}
DAY = {
    # Two callers ask for two replicas however they are spread, and eight of them for all.
    "gateway.autoscaling.imagesInProgress": 1.2,
    # Of images that take .8 s, and longer while replicas are looked at.
    "gateway.autoscaling.workWaitingSeconds": 4,
}
LABELS = {"namespace": "faces", "job": "rel-maskweave", "track": "stable"}
SELECTOR = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
REQUEST = pb.SynthesizeRequest(
    model=PACK, label_map=pb.LabelMap(raw=pb.RawLabelMap(data=bytes(16), width=4, height=4)), seed=1
)
# As clients inside a cluster are told to: docs/operations.md, Callers.
OPTIONS = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.enable_http_proxy", 0),
)


def rules(**values: object) -> Rules:
    done = template(*sets({**VALUES, **values}))
    assert done.returncode == 0, done.stderr
    keda = values["gateway.autoscaling.type"] == "keda"
    kind = "ScaledObject" if keda else "HorizontalPodAutoscaler"
    return rules_of(named(manifests(done.stdout), kind, "rel-maskweave"))


class Load:
    """Callers who ask again as soon as they are answered; how many there are, the test changes.

    Attributes:
        outcomes: What became of all calls.
        waits: Of each answered call, the hour of the day and how long it waited for its turn, in images.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.outcomes: Counter[str] = Counter()
        self.waits: list[tuple[str, float]] = []
        self.hour = ""
        self._stub: Any = pb_grpc.SynthesisServiceStub(channel)
        self._wanted = 0
        self._callers: set[asyncio.Task[None]] = set()

    def at(self, hour: str, callers: int) -> None:
        """From now on there are so many callers; those who are too many leave once they are answered."""
        self.hour, self._wanted = hour, callers
        while len(self._callers) < callers:
            self._callers.add(asyncio.create_task(self._call_on()))

    @property
    def callers(self) -> int:
        """How many there are, those among them who are to leave."""
        return len(self._callers)

    def answered(self, hour: str) -> int:
        """How many calls of an hour have been answered."""
        return sum(each == hour for each, _ in self.waits)

    def late(self, hour: str) -> float:
        """The part of the calls of an hour that missed the target."""
        waits = [wait for each, wait in self.waits if each == hour]
        return float(np.mean(np.array(waits) > TARGET))

    async def end(self) -> None:
        """Wait for what has been asked."""
        self._wanted = 0
        await asyncio.gather(*self._callers)

    async def _call_on(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while len(self._callers) <= self._wanted:
            hour = self.hour
            try:
                timings = await (self._one() if len(self.waits) % 2 else self._stream())
            except grpc.aio.AioRpcError as error:
                self.outcomes[f"{error.code().name}: {error.details()}"] += 1
                await asyncio.sleep(IMAGE_SECONDS)
            else:
                self.outcomes["OK"] += 1
                seconds = timings.admission.ToMilliseconds() / 1000
                self.waits.append((hour, seconds / IMAGE_SECONDS))
        self._callers.discard(task)

    async def _one(self) -> pb.Timings:
        reply = await self._stub.Synthesize(REQUEST, timeout=SECONDS)
        timings: pb.Timings = reply.timings
        return timings

    async def _stream(self) -> pb.Timings:
        images = [each async for each in self._stub.SynthesizeStream(REQUEST, timeout=SECONDS)]
        assert len(images) == 1
        timings: pb.Timings = images[0].timings
        return timings


class Painter:
    """A session that is open while replicas come."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = pb_grpc.SynthesisServiceStub(channel)
        self._call: Any = None

    async def begin(self) -> None:
        """Begin to paint."""
        self._call = self._stub.Paint()
        start = pb.PaintStart(model=PACK, label_map=REQUEST.label_map, seed=1)
        await self._call.write(pb.PaintRequest(start=start))
        assert (await self._call.read()).sequence == 0

    async def go_on(self) -> None:
        """Paint once more, and end."""
        await self._call.write(pb.PaintRequest(update=pb.PaintUpdate(sequence=1, seed=2)))
        assert (await self._call.read()).sequence == 1
        await self._call.done_writing()
        assert await self._call.code() is grpc.StatusCode.OK


class Loop:
    """The autoscaler, step by step.

    Attributes:
        now: The time of its clock, in seconds.
        deciding: What is decided by.
        beside: Decides by the same numbers, told otherwise; nobody follows it.
        looks: What was seen at each step, by pod, and what was decided; for messages.
    """

    def __init__(self, triton: PacedTriton, replicas: Fleet, asked: Prometheus, load: Load) -> None:
        self.now = 0.0
        self.deciding, self.beside = Autoscaler(rules(**KEDA, **DAY)), Autoscaler(rules(**HPA, **DAY))
        self.looks: list[tuple[float, list[list[float]], int]] = []
        self._triton, self._replicas, self._asked, self._load = triton, replicas, asked, load

    async def step(self) -> None:
        """Look, decide, start and stop; in the end callers have found what is new, and asked again."""
        self._triton.open.clear()
        try:
            values, pods = await self._look()
        finally:
            self._triton.open.set()
        wanted = self.deciding.decide(self.now, [value for (value,) in values])
        assert self.beside.decide(self.now, pods) == wanted, (values, pods)
        self.looks.append((self.now, pods, wanted))
        self.now += self.deciding.rules.polling_seconds
        if self._replicas.size < wanted:
            while self._replicas.size < wanted:
                await asyncio.to_thread(self._replicas.start_one)
            await self._all_asked()
        while self._replicas.size > wanted:
            await asyncio.to_thread(self._replicas.stop_one)
        enough = len(self._load.waits) + self._load.callers
        await until(lambda: len(self._load.waits) >= enough, lambda: "nobody is answered")

    async def steps_until(self, condition: Callable[[], bool], most: int) -> None:
        """Go on until something is so; it must be after so many steps at the latest."""
        for _ in range(most):
            await self.step()
            if condition():
                return
        raise AssertionError(f"not so after {most} steps: {self.looks}")

    async def _look(self) -> tuple[list[list[float]], list[list[float]]]:
        """What Prometheus finds: the sums that KEDA asks for, and what each pod has."""
        await until(self._all_calls_are_in, lambda: "a call does not arrive")
        moment = await self._scraped()
        sums = [await self._found(each.metric, moment) for each in self.deciding.rules.targets]
        names = [f"{each.metric}{{{SELECTOR}}}" for each in self.beside.rules.targets]
        return sums, [await self._found(name, moment) for name in names]

    def _all_calls_are_in(self) -> bool:
        names = ("maskweave_images_in_progress", "maskweave_queue_depth")
        found = sum(each.metric(*names) for each in self._replicas.ready)
        return found == self._load.callers

    async def _all_asked(self) -> None:
        """Wait until callers have found every replica."""
        name = "grpc_server_started_total"
        before = [await asyncio.to_thread(each.metric, name) for each in self._replicas.ready]
        await until(
            lambda: all(
                each.metric(name) > count for each, count in zip(self._replicas.ready, before, strict=True)
            ),
            lambda: "a replica is not asked",
        )

    async def _scraped(self) -> float:
        """Wait for a scrape of every replica, and of no other, that begins after now.

        Returns:
            When the last of them began, as Unix time.
        """
        now, scrapes = time.time(), list[float]()

        def seen() -> bool:
            up = f"up{{{SELECTOR}}}"
            scrapes[:] = self._asked.values(f"timestamp({up}) and ({up} == 1)")
            return len(scrapes) == self._replicas.size and min(scrapes) > now

        await until(seen, lambda: "the replicas are not scraped")
        return max(scrapes)

    async def _found(self, expression: str, moment: float) -> list[float]:
        return await asyncio.to_thread(self._asked.values, expression, moment)


async def until(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    end = time.monotonic() + 2 * PATIENCE_SECONDS
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, complaint()
        await asyncio.sleep(0.1)


Parts = tuple[PacedTriton, Fleet, Prometheus]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """What makes images, the gateways, and the Prometheus that scrapes those that are ready."""
    settings = {"engine": "triton", "concurrency_limit": CONCURRENCY,
                # Callers look again each second: those who are to stop serve on for longer than that.
                "max_connection_age_seconds": 1, "shutdown_delay_seconds": 3, "shutdown_grace_seconds": 30,
                # How long a session outlives the age of its connection.
                "default_timeout_seconds": SECONDS}  # fmt: skip
    (tmp_path / "prometheus").mkdir()
    with paced_triton(IMAGE_SECONDS) as (triton, address), prometheus(tmp_path / "prometheus") as asked:

        def scrape(pages: Sequence[str]) -> None:
            asked.scrape([(page, {**LABELS, "pod": page}) for page in pages])

        with fleet(tmp_path, {**settings, "triton_url": address}, scrape) as replicas:
            replicas.start_one()
            yield triton, replicas, asked


@asynccontextmanager
async def callers(target: str) -> AsyncIterator[tuple[Load, Painter]]:
    """Callers of a name, who have all been answered at the end, and one who paints."""
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        load = Load(channel)
        try:
            yield load, Painter(channel)
        finally:
            await load.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_day_of_load_loses_no_request_and_does_not_flap(parts: Parts) -> None:
    triton, replicas, asked = parts
    async with callers(replicas.target) as (load, painter):
        loop = Loop(triton, replicas, asked, load)
        scaler = loop.deciding
        load.at("night", NIGHT)
        for _ in range(2):
            await loop.step()
        assert scaler.history == []
        await painter.begin()
        load.at("dawn", NOON)
        await until(lambda: load.answered("dawn") >= 2 * NOON, lambda: "nobody is answered at dawn")
        load.at("forenoon", NOON)
        await loop.steps_until(lambda: replicas.size == MOST, most=10)
        await painter.go_on()
        load.at("noon", NOON)
        await until(lambda: load.answered("noon") >= 100, lambda: "nobody is answered at noon")
        for _ in range(2):
            await loop.step()
        assert scaler.replicas == MOST
        load.at("evening", EVENING)
        await loop.steps_until(lambda: replicas.size == 2, most=20)
        load.at("night again", NIGHT)
        await loop.steps_until(lambda: replicas.size == 1, most=20)
        await loop.step()
    assert dict(load.outcomes) == {"OK": len(load.waits)}
    assert load.late("dawn") > 0.5, load.waits
    assert load.late("noon") <= 0.01, load.waits
    # Up, and then down: what a backlog asked for may go again, but nothing that went is missed.
    changes = np.diff([1, *(size for _, size in scaler.history)])
    assert (np.diff(np.sign(changes)) <= 0).all(), f"it flaps: {loop.looks}"
    assert scaler.history[-1][1] == 1
    assert replicas.exit_codes == [0] * (MOST - 1)


def test_without_data_nothing_is_taken_away_and_then_the_fallback_holds() -> None:
    scaler = Autoscaler(rules(**KEDA))
    assert [scaler.decide(now, (None, 0.0)) for now in (0.0, 15.0)] == [1, 1]
    assert scaler.decide(30.0, (None, 0.0)) == 3  # the third in a row
    assert [scaler.decide(45.0 + 15 * n, (None, None)) for n in range(30)] == [3] * 30
    assert scaler.decide(600.0, (4.8, 0.0)) == 3


def test_an_hpa_without_data_stays_as_it_is() -> None:
    scaler = Autoscaler(rules(**HPA))
    assert scaler.decide(0.0, ([4.8], [0.0])) == 3
    assert [scaler.decide(15.0 + 15 * n, ([], [])) for n in range(30)] == [3] * 30


@pytest.mark.parametrize("kind", [KEDA, HPA])
def test_an_average_value_is_divided_among_the_replicas_and_slowed_down_by_the_policies(
    kind: dict[str, object],
) -> None:
    scaler = Autoscaler(rules(**kind))

    def decide(now: float, in_all: float) -> int:
        """Given what all replicas have together; an HPA is told what each has."""
        each = [in_all / scaler.replicas] * scaler.replicas
        return scaler.decide(now, (in_all, 0.0) if kind == KEDA else (each, [0.0] * scaler.replicas))

    assert decide(0.0, 9.0) == 3  # six wanted; two may be added in a period
    assert decide(5.0, 9.0) == 3
    assert decide(16.0, 9.0) == 5  # the most
    assert decide(30.0, 7.6) == 5  # within a tenth
    assert decide(100.0, 0.0) == 5  # the window
    assert decide(160.0, 0.0) == 4  # one in a period
    assert decide(170.0, 0.0) == 4
    assert decide(200.0, 0.0) == 3


def test_pods_that_tell_nothing_make_an_hpa_careful() -> None:
    """After https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details."""
    scaler = Autoscaler(rules(**HPA))
    assert scaler.decide(0.0, ([16.0], [0.0])) == 3
    assert scaler.decide(20.0, ([16.0, 16.0, 16.0], [0.0] * 3)) == 5
    # Two of five are silent. Taken as at their target they keep three and a half of five...
    assert scaler.decide(200.0, ([0.8, 0.8, 0.8], [0.0] * 3)) == 4
    # ... and taken as idle they add nothing to four that have a little too much.
    assert scaler.decide(400.0, ([2.0, 2.0, 2.0], [0.0] * 3)) == 4
