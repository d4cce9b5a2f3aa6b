import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.core.metric_table import BUCKETS_SECONDS, METRICS
from service.core.metrics import Metrics, Rpc
from service.engine.base import StageTiming
from service.rpc.status import code_label
from service.synthesis.work import Timings

RUN = StageTiming("head", queue_seconds=0.001, compute_seconds=0.002, cached=False)
CACHED = StageTiming("head", queue_seconds=0.0, compute_seconds=0.0, cached=True)
SYNTHESIZE = Rpc("maskweave.v1.SynthesisService", "Synthesize")


def _samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    """Sum of the samples of a metric that have these labels."""
    return sum(
        value
        for (sample, found), value in _samples(metrics).items()
        if sample == name and labels.items() <= dict(found).items()
    )


def _used() -> Metrics:
    metrics = Metrics()
    metrics.rpc_started(SYNTHESIZE)
    metrics.rpc_handled(SYNTHESIZE, "OK", 0.004)
    metrics.failed("OVERLOADED")
    for index in range(3):
        metrics.image("faces64", ("sketch", "png"), Timings(stages=[RUN, CACHED]), first=index == 0)
    metrics.frames_dropped("faces64", 2)
    metrics.serving("0.1.0", {"faces64_rearranger": 1})
    metrics.reloaded("keys", ok=True)
    metrics.certificate_expires("tls.crt", 1e9)
    return metrics


def test_the_exposition_is_the_table() -> None:
    families = {family.name: family for family in text_string_to_metric_families(_used().render().decode())}
    ours = {name: family for name, family in families.items() if not name.startswith("process_")}
    assert {name.removesuffix("_total"): spec.kind for name, spec in METRICS.items()} == {
        name: family.type for name, family in ours.items()
    }
    for name, spec in METRICS.items():
        labels = {key for sample in ours[name.removesuffix("_total")].samples for key in sample.labels}
        assert labels - {"le"} == set(spec.labels), name


def test_an_rpc_counts_as_started_in_flight_and_handled() -> None:
    metrics = Metrics()
    metrics.rpc_started(SYNTHESIZE)
    assert _value(metrics, "maskweave_requests_in_flight", grpc_method="Synthesize") == 1
    metrics.rpc_handled(SYNTHESIZE, "InvalidArgument", 0.01)
    assert _value(metrics, "maskweave_requests_in_flight", grpc_method="Synthesize") == 0
    labels = {"grpc_method": "Synthesize", "grpc_type": "unary", "grpc_service": SYNTHESIZE.service}
    assert _value(metrics, "grpc_server_started_total", **labels) == 1
    labels["grpc_code"] = "InvalidArgument"
    assert _value(metrics, "grpc_server_handled_total", **labels) == 1
    assert _value(metrics, "grpc_server_handling_seconds_count", **labels) == 1


def test_a_cached_stage_is_a_hit_and_stays_out_of_the_latencies() -> None:
    metrics = Metrics()
    metrics.image("faces64", None, Timings(stages=[RUN, CACHED]), first=True)
    assert _value(metrics, "maskweave_stage_duration_seconds_count", stage="head") == 1
    assert _value(metrics, "maskweave_stage_duration_seconds_sum", stage="head") == 0.002
    assert _value(metrics, "maskweave_stage_queue_duration_seconds_sum", stage="head") == 0.001
    assert _value(metrics, "maskweave_response_cache_hits_total", stage="head") == 1


def test_an_image_and_its_time() -> None:
    metrics = Metrics()
    timings = Timings(queue_wait=0.5, worker_wait=0.25, decode=0.125, stages=[RUN], encode=0.0625)
    for index in range(2):
        metrics.image("faces64", ("sketch", "png"), timings, first=index == 0)
    metrics.image("dolls", None, timings, first=True)
    assert _value(metrics, "maskweave_images_total", model="faces64", condition="sketch", format="png") == 2
    assert _value(metrics, "maskweave_images_total") == 2
    assert _value(metrics, "maskweave_queue_wait_seconds_sum", model="faces64") == 1.0
    # What was sent is decoded once for a request, and what is no image is not encoded.
    assert _value(metrics, "maskweave_stage_duration_seconds_sum", stage="decode") == 0.25
    assert _value(metrics, "maskweave_stage_queue_duration_seconds_sum", stage="decode") == 0.5
    assert _value(metrics, "maskweave_stage_duration_seconds_count", stage="encode") == 2


def test_the_queue_is_shown_as_it_is_when_it_is_looked_at() -> None:
    metrics, waiting, running = Metrics(), [3], [2]
    metrics.watch_queue(lambda: waiting[0], lambda: running[0], lambda: waiting[0] / 2)
    metrics.watch_sessions(lambda: 7)
    assert _value(metrics, "maskweave_work_waiting_seconds") == 1.5
    assert _value(metrics, "maskweave_open_sessions") == 7
    assert _value(metrics, "maskweave_queue_depth") == 3
    waiting[0], running[0] = 0, 1
    assert _value(metrics, "maskweave_queue_depth") == 0
    assert _value(metrics, "maskweave_images_in_progress") == 1


def test_two_objects_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.failed("OVERLOADED")
    assert _value(second, "maskweave_failures_total") == 0


def test_buckets_rise_from_a_quarter_of_a_millisecond() -> None:
    assert BUCKETS_SECONDS[0] == 0.00025
    assert list(BUCKETS_SECONDS) == sorted(set(BUCKETS_SECONDS))


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (grpc.StatusCode.OK, "OK"),
        (grpc.StatusCode.CANCELLED, "Canceled"),
        (grpc.StatusCode.INVALID_ARGUMENT, "InvalidArgument"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "ResourceExhausted"),
    ],
)
def test_codes_are_spelled_as_go_grpc_prometheus_spells_them(code: grpc.StatusCode, label: str) -> None:
    assert code_label(code) == label
