"""What is rendered for Prometheus and KEDA, on a real Prometheus that scrapes real gateways under load."""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from service.app.settings import Settings
from service.core.limits import LIMITS
from service.core.metric_table import latency_buckets
from tests.support.chart import named, rendered, rule_groups
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.paced_triton import PACK, PacedTriton, paced_triton
from tests.support.prometheus import Prometheus, prometheus

pytestmark = pytest.mark.slow

SCENARIO = "keda"
LABELS = {"namespace": "faces", "job": "rel-maskweave"}
REPLICAS, CONCURRENCY = 2, 2
QUEUE_CAPACITY = Settings.model_fields["queue_capacity"].default
# Of a hundred images 70 take the first, 25 the second and 5 the third: each well inside a bucket.
SECONDS = (0.15, 0.7, 1.6)
TIMES = np.random.RandomState(0).permutation(np.repeat(SECONDS, (70, 25, 5))).tolist()

REQUEST = pb.SynthesizeRequest(
    model=PACK, label_map=pb.LabelMap(raw=pb.RawLabelMap(data=bytes(16), width=4, height=4)), seed=1
)


@pytest.fixture(scope="module")
def triton() -> Iterator[tuple[PacedTriton, str]]:
    with paced_triton(*TIMES) as running:
        yield running


@pytest.fixture(scope="module")
def gateways(
    triton: tuple[PacedTriton, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[GatewayProcess]]:
    settings = {"engine": "triton", "triton_url": triton[1], "concurrency_limit": CONCURRENCY}
    nothing = tmp_path_factory.mktemp("no_models")
    with ExitStack() as stack:
        yield [stack.enter_context(gateway_process(nothing, **settings)) for _ in range(REPLICAS)]


@pytest.fixture(scope="module")
def scraper(gateways: list[GatewayProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with the rendered rules, on all gateways."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), rule_groups(rendered(SCENARIO))) as running:
        running.scrape(
            [
                (each.http.removeprefix("http://"), {**LABELS, "pod": f"g-{number}", "track": "stable"})
                for number, each in enumerate(gateways)
            ]
        )
        running.wait_for_value("sum(up)", REPLICAS)
        yield running


def asked(gateways: list[GatewayProcess], images: int, at_once: int) -> list[float]:
    """Ask all gateways in turn, and tell how long each request took its caller, in seconds."""
    with ExitStack() as stack:
        stubs = [pb_grpc.SynthesisServiceStub(stack.enter_context(channel_to(each))) for each in gateways]

        def ask(number: int) -> float:
            began = time.perf_counter()
            stubs[number % len(stubs)].Synthesize(REQUEST, timeout=60)
            return time.perf_counter() - began

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(ask, range(images)))


def keda_queries() -> dict[str, str]:
    """The queries of the gateways' ScaledObject, by the names of their triggers."""
    triggers = named(rendered(SCENARIO), "ScaledObject", "rel-maskweave")["spec"]["triggers"]
    return {each["name"]: each["metadata"]["query"] for each in triggers}


def test_quantiles_are_those_that_callers_saw(scraper: Prometheus, gateways: list[GatewayProcess]) -> None:
    seen = np.array(asked(gateways, 100, at_once=REPLICAS * CONCURRENCY))
    selector = 'namespace="faces",job="rel-maskweave",grpc_method="Synthesize",grpc_code="OK"'
    scraper.wait_for_value(f"sum(grpc_server_handling_seconds_count{{{selector}}})", len(seen))
    bounds = latency_buckets()
    for quantile in (0.5, 0.9, 0.99):
        buckets = f"sum by (le) (grpc_server_handling_seconds_bucket{{{selector}}})"
        recorded = scraper.value(f"histogram_quantile({quantile}, {buckets})")
        assert recorded is not None
        callers = float(np.quantile(seen, quantile, method="inverted_cdf"))
        apart = abs(bisect.bisect_left(bounds, recorded) - bisect.bisect_left(bounds, callers))
        assert apart <= 1, f"{quantile}: recorded {recorded:.3f} s, seen {callers:.3f} s"
    total = scraper.value(f"sum(grpc_server_handling_seconds_sum{{{selector}}})")
    assert total is not None
    assert sum(TIMES) <= total <= seen.sum()


def test_keda_is_told_what_the_queues_hold(
    scraper: Prometheus, gateways: list[GatewayProcess], triton: tuple[PacedTriton, str]
) -> None:
    """Nothing gets done while Prometheus looks: its numbers and the gateways' are of one moment."""
    waiting, held = 6, triton[0]
    queries = keda_queries()
    held.open.clear()
    with ThreadPoolExecutor(1) as pool:
        images = REPLICAS * (CONCURRENCY + waiting)
        load = pool.submit(asked, gateways, images, images)
        try:
            scraper.wait_for_value(queries["maskweave-images-in-progress"], REPLICAS * CONCURRENCY)
            scraper.wait_for_value("sum(maskweave_queue_depth)", REPLICAS * waiting)
            own = sum(each.metric("maskweave_work_waiting_seconds") for each in gateways)
            wait_until(
                lambda: scraper.value(queries["maskweave-work-waiting-seconds"]) == pytest.approx(own),
                lambda: (
                    f"{queries} gave {scraper.value(queries['maskweave-work-waiting-seconds'])}, not {own}"
                ),
            )
        finally:
            held.open.set()
        assert len(load.result(120)) == images
    # Its images, times how long they take: no less than if each were of the shortest kind.
    assert own >= REPLICAS * waiting * min(SECONDS)
    for query in queries.values():
        scraper.wait_for_value(query, 0)


def test_every_rule_is_evaluated_and_an_alert_begins_when_it_should(
    scraper: Prometheus, gateways: list[GatewayProcess], triton: tuple[PacedTriton, str]
) -> None:
    names = {
        rule["alert"]
        for group in rule_groups(rendered(SCENARIO))
        for rule in group["rules"]
        if "alert" in rule
    }

    def states() -> dict[str, str]:
        return {rule["name"]: rule["state"] for rule in scraper.rules() if rule["type"] == "alerting"}

    wait_until(
        lambda: {rule["health"] for rule in scraper.rules()} == {"ok"},
        lambda: str(
            [(rule["name"], rule.get("lastError")) for rule in scraper.rules() if rule["health"] != "ok"]
        ),
    )
    assert states().keys() == names
    assert states()["MaskweaveNoGateway"] == "inactive"
    held = triton[0]
    many = pb.SynthesizeRequest()
    many.CopyFrom(REQUEST)
    many.number_of_images = LIMITS.max_images
    held.open.clear()
    with channel_to(gateways[0]) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        calls = [
            stub.Synthesize.future(many, timeout=600) for _ in range(QUEUE_CAPACITY // LIMITS.max_images)
        ]
        try:
            wait_until(
                lambda: states()["MaskweaveQueueSaturated"] == "pending",
                lambda: f"no alert begins: {states()}, {[call.exception() for call in calls if call.done()]}",
            )
        finally:
            for call in calls:
                call.cancel()
            held.open.set()
    wait_until(
        lambda: states()["MaskweaveQueueSaturated"] == "inactive", lambda: f"it does not end: {states()}"
    )
