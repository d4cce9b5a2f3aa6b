from pathlib import Path

import grpc
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from docs.site.metrics_page import metrics_page
from service.core.metric_kinds import Readings
from service.core.metric_table import METRICS, latency_buckets
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


def _observed() -> Readings:
    """What others count, one of each."""
    return {
        "maskweave_queue_depth": 1,
        "maskweave_images_in_progress": 1,
        "maskweave_work_waiting_seconds": 1,
        "maskweave_open_sessions": 1,
        "maskweave_event_loop_tasks": 1,
        "maskweave_log_lines_dropped_total": 1,
        "maskweave_runtime_info": {("embedded", "ONNX Runtime", "1", "fp32", "as set", "3.11", "1.80"): 1},
        "maskweave_runtime_candidate_seconds": {("onnxruntime", "fp32"): 0.01},
        "maskweave_model_load_seconds": {("head", "1"): 0.5},
        "maskweave_workers": 2,
        "maskweave_workers_busy": 1,
        "maskweave_worker_tasks_waiting": 1,
        "maskweave_worker_busy_seconds_total": 1,
        "maskweave_response_cache_entries": 1,
        "maskweave_response_cache_bytes": 1,
        "maskweave_response_cache_capacity_bytes": 1,
        "maskweave_response_cache_lookups_total": {("head",): 1},
        "maskweave_response_cache_hits_total": {("head",): 1},
    }


def _used() -> Metrics:
    metrics = Metrics()
    method = metrics.method(Rpc(SYNTHESIZE.service, "Morph", "server_stream"))
    method.began()
    method.received(10)
    method.sent(20)
    method.ended("OK", 0.004)
    metrics.failed("OVERLOADED")
    metrics.shed("queue")
    metrics.cancelled("caller")
    metrics.admitted("faces64", 3)
    metrics.loop_late(0.001)
    metrics.watch(_observed)
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
    method = metrics.method(SYNTHESIZE)
    method.began()
    assert _value(metrics, "maskweave_requests_in_flight", grpc_method="Synthesize") == 1
    assert _value(metrics, "maskweave_open_streams") == 0
    method.ended("InvalidArgument", 0.01)
    assert _value(metrics, "maskweave_requests_in_flight", grpc_method="Synthesize") == 0
    labels = {"grpc_method": "Synthesize", "grpc_type": "unary", "grpc_service": SYNTHESIZE.service}
    assert _value(metrics, "grpc_server_started_total", **labels) == 1
    labels["grpc_code"] = "InvalidArgument"
    assert _value(metrics, "grpc_server_handled_total", **labels) == 1
    assert _value(metrics, "grpc_server_handling_seconds_count", **labels) == 1


def test_a_cached_stage_stays_out_of_the_latencies() -> None:
    metrics = Metrics()
    metrics.image("faces64", None, Timings(stages=[RUN, CACHED]), first=True)
    assert _value(metrics, "maskweave_stage_duration_seconds_count", stage="head") == 1
    assert _value(metrics, "maskweave_stage_duration_seconds_sum", stage="head") == 0.002
    assert _value(metrics, "maskweave_stage_queue_duration_seconds_sum", stage="head") == 0.001


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
    metrics.watch(lambda: {"maskweave_queue_depth": waiting[0], "maskweave_images_in_progress": running[0]})
    assert _value(metrics, "maskweave_queue_depth") == 3
    waiting[0], running[0] = 0, 1
    assert _value(metrics, "maskweave_queue_depth") == 0
    assert _value(metrics, "maskweave_images_in_progress") == 1


def test_two_objects_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.failed("OVERLOADED")
    assert _value(second, "maskweave_failures_total") == 0


def test_counts_of_others_begin_when_they_are_watched() -> None:
    """What a warm-up has counted is left out; values of the moment are what they are."""
    count, metrics = [5.0], Metrics()
    lookups: dict[tuple[str, ...], float] = {("head",): 5.0}
    metrics.watch(
        lambda: {
            "maskweave_response_cache_lookups_total": dict(lookups),
            "maskweave_worker_busy_seconds_total": count[0],
            "maskweave_workers": count[0],
        }
    )
    assert _value(metrics, "maskweave_response_cache_lookups_total", stage="head") == 0
    count[0] = lookups["head",] = 8.0
    lookups["new",] = 2.0
    assert _value(metrics, "maskweave_response_cache_lookups_total", stage="head") == 3
    assert _value(metrics, "maskweave_response_cache_lookups_total", stage="new") == 2
    assert _value(metrics, "maskweave_worker_busy_seconds_total") == 3
    assert _value(metrics, "maskweave_workers") == 8


def test_what_is_not_in_the_table_is_refused_at_once() -> None:
    with pytest.raises(KeyError, match="maskweave_unheard_of"):
        Metrics().watch(lambda: {"maskweave_unheard_of": 1})


def test_messages_and_streams() -> None:
    metrics = Metrics()
    paint = metrics.method(Rpc(SYNTHESIZE.service, "Paint", "bidi_stream"))
    paint.began()
    for _ in range(3):
        paint.received(100)
    paint.sent(1000)
    assert _value(metrics, "maskweave_open_streams", grpc_method="Paint") == 1
    assert _value(metrics, "maskweave_received_bytes_total", grpc_method="Paint") == 300
    assert _value(metrics, "maskweave_sent_bytes_total", grpc_method="Paint") == 1000
    assert _value(metrics, "grpc_server_msg_received_total", grpc_method="Paint") == 3
    assert _value(metrics, "grpc_server_msg_sent_total", grpc_method="Paint") == 1
    paint.ended("Canceled", 1.0)
    assert _value(metrics, "maskweave_open_streams", grpc_method="Paint") == 0


OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def test_a_kept_trace_is_an_exemplar() -> None:
    metrics = Metrics()
    metrics.method(SYNTHESIZE).ended("OK", 0.004, "4bf92f3577b34da6a3ce929d0e0e4736")
    metrics.method(SYNTHESIZE).ended("OK", 0.4)
    body, content_type = metrics.page(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    samples = [
        sample
        for family in openmetrics.text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    (exemplar,) = (sample.exemplar for sample in samples if sample.exemplar)
    assert exemplar.labels == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert exemplar.value == 0.004


@pytest.mark.parametrize(
    "accept", ["", "text/html", "text/plain;version=x", "application/openmetrics-text;version=x.y", ";;=,"]
)
def test_whatever_is_asked_for_there_is_a_page(accept: str) -> None:
    body, content_type = Metrics().page(accept)
    assert content_type.startswith("text/plain")
    assert b"maskweave_engine_ready 0.0" in body


def test_the_page_of_the_documentation_is_that_of_the_table() -> None:
    page = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text()
    assert page == metrics_page(), "make metrics-page"
    for name in METRICS:
        assert f"| `{name}` |" in page


@pytest.mark.parametrize("target", [0.001, 0.014, 0.5, 7.0, 300.0])
@pytest.mark.parametrize("deadline", [0.5, 30.0, 900.0])
def test_buckets_are_fine_around_the_target_and_reach_the_deadline(target: float, deadline: float) -> None:
    bounds = latency_buckets(target, deadline)
    assert list(bounds) == sorted(set(bounds))
    assert {target, deadline, 2 * deadline} <= set(bounds)
    for part in (0.9, 1.1):
        assert min(abs(bound / target - part) for bound in bounds) < 1e-5
    assert len(bounds) < 40


def test_the_usual_buckets_begin_at_a_quarter_of_a_millisecond() -> None:
    assert latency_buckets()[0] == 0.00025
    assert latency_buckets()[-1] == 60.0


def test_buckets_are_those_asked_for() -> None:
    metrics = Metrics(latency_buckets(0.02, 5.0))
    metrics.method(SYNTHESIZE).ended("OK", 0.02)
    assert _value(metrics, "grpc_server_handling_seconds_bucket", le="0.02") == 1
    assert _value(metrics, "grpc_server_handling_seconds_bucket", le="0.018") == 0


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
