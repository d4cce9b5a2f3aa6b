"""The same times in the reply, the trailer and the metrics; ids in logs; failures that leak nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from service.core.log_lines import ACCESS_LINE, EVERY_LINE, OTHER_LINES
from service.core.metric_table import METRICS
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process, wait_until
from tests.support.key_file import new_key, write_keys

STAGES = [
    "faces64_generator_head",
    "faces64_mapper_label_map",
    "faces64_rearranger",
    "faces64_generator_tail",
]


def blank_request(**fields: object) -> pb.SynthesizeRequest:
    message = pb.SynthesizeRequest(
        model="faces64", label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))
    )
    message.MergeFrom(pb.SynthesizeRequest(**fields))  # type: ignore[arg-type]
    return message


def parse_server_timing(value: str | bytes) -> dict[str, tuple[float, str]]:
    entries = {}
    for entry in str(value).split(", "):
        found = re.fullmatch(r'([\w-]+);dur=(\d+\.\d{3})(?:;desc="(.*)")?', entry)
        assert found, entry
        entries[found[1]] = (float(found[2]), found[3] or "")
    return entries


def test_timings_add_up(client: Client, label_map: NDArray[np.uint8]) -> None:
    began = time.perf_counter()
    timings = client.synthesize("faces64", label_map, seed=1001).timings
    waited = time.perf_counter() - began

    assert [stage.stage for stage in timings.stages] == STAGES
    parts = [timings.queue_seconds, timings.decode_seconds, timings.encode_seconds]
    parts += [stage.queue_seconds + stage.compute_seconds for stage in timings.stages]
    assert min(parts) >= 0
    assert 0 < sum(parts) <= timings.total_seconds <= waited


def test_a_repeated_seed_is_cached_and_says_so(client: Client, label_map: NDArray[np.uint8]) -> None:
    def cached() -> dict[str, bool]:
        timings = client.synthesize("faces64", label_map, seed=1002).timings
        return {stage.stage: stage.cached for stage in timings.stages}

    assert cached() == dict.fromkeys(STAGES, False)
    assert cached() == {**dict.fromkeys(STAGES, False), "faces64_generator_head": True}


def test_every_image_has_its_stages(client: Client, label_map: NDArray[np.uint8]) -> None:
    stages = client.synthesize("faces64", label_map, seed=1003, number_of_images=3).timings.stages
    assert [(stage.image_index, stage.stage) for stage in stages] == [
        (i, name) for i in range(3) for name in STAGES
    ]


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_trailer_tells_the_timings_and_the_request_id(
    stub: pb_grpc.SynthesisServiceStub, streamed: bool
) -> None:
    request = blank_request(seeds=pb.SeedList(values=[1004, 1004]))
    metadata = (("x-request-id", "my-request-1"),)
    if streamed:
        call = stub.SynthesizeStream(request, metadata=metadata)
        messages = list(call)
        trailer = dict(call.trailing_metadata())
        encode = sum(message.timings.encode.ToNanoseconds() for message in messages) / 1e6
    else:
        response, unary_call = stub.Synthesize.with_call(request, metadata=metadata)
        trailer = dict(unary_call.trailing_metadata())
        encode = response.timings.encode.ToNanoseconds() / 1e6
    assert trailer["x-request-id"] == "my-request-1"
    entries = parse_server_timing(trailer["server-timing"])
    assert list(entries) == ["queue", "decode", "admission", *STAGES, "encode", "total"]
    assert entries["encode"][0] == pytest.approx(encode, abs=0.001)


@pytest.mark.parametrize("given", ["", "with space", "x" * 129], ids=["empty", "space", "long"])
def test_unusable_request_ids_are_replaced(stub: pb_grpc.SynthesisServiceStub, given: str) -> None:
    metadata = (("x-request-id", given),)
    _, call = stub.GetModel.with_call(pb.GetModelRequest(name="faces64"), metadata=metadata)
    request_id = dict(call.trailing_metadata())["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", str(request_id))


def test_metrics_count_calls_stages_and_images(repository: Path) -> None:
    with gateway_process(repository) as gateway, Client(gateway.address) as client:
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), seeds=[1, 2], image_format="jpeg")
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), seed=1)
        with channel_to(gateway) as channel, pytest.raises(grpc.RpcError):
            pb_grpc.SynthesisServiceStub(channel).Synthesize(blank_request(number_of_images=0))
        # A call is counted as handled once its status has been sent, which the caller may have before that.
        gateway.wait_until_in_flight(0)
        page = gateway.get("/metrics").splitlines()

    rpc = 'grpc_method="Synthesize",grpc_service="maskweave.v1.SynthesisService",grpc_type="unary"'
    for line in (
        f"grpc_server_started_total{{{rpc}}} 3.0",
        f'grpc_server_handled_total{{grpc_code="OK",{rpc}}} 2.0',
        f'grpc_server_handled_total{{grpc_code="InvalidArgument",{rpc}}} 1.0',
        f'grpc_server_handling_seconds_count{{grpc_code="OK",{rpc}}} 2.0',
        'maskweave_failures_total{reason="INVALID_FIELD"} 1.0',
        'maskweave_images_total{condition="label_map",format="jpeg",model="faces64"} 2.0',
        'maskweave_images_total{condition="label_map",format="png",model="faces64"} 1.0',
        'maskweave_stage_duration_seconds_count{stage="decode"} 2.0',
        'maskweave_stage_duration_seconds_count{stage="encode"} 3.0',
        'maskweave_stage_duration_seconds_count{stage="faces64_rearranger"} 3.0',
        'maskweave_stage_duration_seconds_count{stage="faces64_generator_head"} 2.0',
        'maskweave_response_cache_hits_total{stage="faces64_generator_head"} 1.0',
        'maskweave_response_cache_lookups_total{stage="faces64_generator_head"} 3.0',
        'maskweave_request_images_bucket{le="1.0",model="faces64"} 1.0',
        'maskweave_request_images_count{model="faces64"} 2.0',
        'maskweave_model_info{model="faces64_label_map",version="1"} 1.0',
        "maskweave_workers_busy 0.0",
        "maskweave_open_sessions 0.0",
    ):
        assert line in page
    for name in METRICS:
        assert f"# TYPE {name.removesuffix('_total')}" in "\n".join(page) or f"# TYPE {name} " in page


def test_bytes_are_those_of_the_messages(repository: Path) -> None:
    request = blank_request(seed=5)
    with gateway_process(repository) as gateway, channel_to(gateway) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        reply = stub.Synthesize(request)
        frames = list(stub.SynthesizeStream(request))
        gateway.wait_until_in_flight(0, "SynthesizeStream")
        for method, sent in (("Synthesize", [reply]), ("SynthesizeStream", frames)):
            assert gateway.metric("maskweave_received_bytes_total", grpc_method=method) == request.ByteSize()
            expected = sum(each.ByteSize() for each in sent)
            assert gateway.metric("maskweave_sent_bytes_total", grpc_method=method) == expected
            assert gateway.metric("grpc_server_msg_sent_total", grpc_method=method) == len(sent)


def test_refused_and_left_calls_are_counted_by_cause(repository: Path) -> None:
    """A session beyond the bound, and one that its caller leaves."""
    start = pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=blank_request().label_map))
    with gateway_process(repository, max_sessions=1) as gateway, channel_to(gateway) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        session = stub.Paint(chain([start], repeat_after(gateway, start)))
        next(session)
        assert gateway.metric("maskweave_open_streams", grpc_method="Paint") == 1
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.Paint(iter([start])))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        gateway.wait_for_metric('maskweave_shed_total{cause="sessions"} 1.0')
        session.cancel()
        gateway.wait_for_metric('maskweave_cancelled_total{cause="caller"} 1.0')
        gateway.wait_for_metric('maskweave_open_streams{grpc_method="Paint"} 0.0')


def test_idle_sessions_are_counted(repository: Path) -> None:
    start = pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=blank_request().label_map))
    with (
        gateway_process(repository, paint_idle_timeout_seconds=1) as gateway,
        channel_to(gateway) as channel,
    ):
        with pytest.raises(grpc.RpcError):
            list(pb_grpc.SynthesisServiceStub(channel).Paint(chain([start], repeat_after(gateway, start))))
        gateway.wait_for_metric('maskweave_cancelled_total{cause="idle"} 1.0')


def repeat_after(gateway: GatewayProcess, message: pb.PaintRequest) -> Iterator[pb.PaintRequest]:
    """Nothing, until the gateway has no session any more: the caller is silent."""
    ended = 'maskweave_open_streams{grpc_method="Paint"} 0.0'
    gateway.wait_until_started(1, "Paint")
    gateway.wait_for_metric(ended)
    yield message


def test_buckets_follow_the_target_and_exemplars_the_trace(repository: Path) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with (
        gateway_process(repository, latency_target_seconds=0.02, default_timeout_seconds=90) as gateway,
        channel_to(gateway) as channel,
    ):
        stub = pb_grpc.SynthesisServiceStub(channel)
        stub.Synthesize(blank_request(seed=5), metadata=(("traceparent", parent),))
        gateway.wait_until_in_flight(0)
        page = gateway.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
    bounds = set(re.findall(r'grpc_server_handling_seconds_bucket{.*le="([^"]+)"', page))
    assert {"0.018", "0.02", "0.022", "90.0", "180.0", "+Inf"} <= bounds
    assert '# {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"}' in page
    assert page.rstrip().endswith("# EOF")


def test_several_gateways_on_one_host(repository: Path) -> None:
    """Each has its ports and its page; a client balances over them."""
    with gateway_process(repository) as first, gateway_process(repository) as second:
        target = f"ipv4:{first.address},{second.address}"
        options = (("grpc.enable_http_proxy", 0), ("grpc.lb_policy_name", "round_robin"))
        with grpc.insecure_channel(target, options) as channel:
            stub = pb_grpc.SynthesisServiceStub(channel)

            def both_asked() -> bool:
                stub.GetModel(pb.GetModelRequest(name="faces64"), wait_for_ready=True)
                return all(
                    gateway.metric("grpc_server_handled_total", grpc_method="GetModel")
                    for gateway in (first, second)
                )

            wait_until(both_asked, lambda: "one gateway gets all calls")


def test_counters_in_files_for_several_processes_are_refused(repository: Path, tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with pytest.raises(AssertionError, match="PROMETHEUS_MULTIPROC_DIR: is set; allowed: not set") as failed:
        GatewayProcess(repository, environment=environment)
    assert "Traceback" not in str(failed.value)


def test_every_call_has_a_line_with_documented_fields(repository: Path, tmp_path: Path) -> None:
    """As JSON, which machines read; nothing of what was sent is in it."""
    key, entry = new_key("studio")
    keys = write_keys(tmp_path / "keys.toml", entry)
    marked = blank_request(seed=4123456789)
    bearer = ("authorization", f"Bearer {key}")
    trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    with gateway_process(repository, log_format="json", api_keys_file=keys) as gateway:
        with channel_to(gateway) as channel:
            stub = pb_grpc.SynthesisServiceStub(channel)
            reply = stub.Synthesize(marked, metadata=(bearer, trace, ("x-request-id", "good")))
            for request, metadata in (
                (blank_request(number_of_images=0), (bearer, ("x-request-id", "bad"))),
                (marked, (("x-request-id", "stranger"),)),
            ):
                with pytest.raises(grpc.RpcError):
                    stub.Synthesize(request, metadata=metadata)
            many = (bearer, ("x-request-id", "many"))
            list(stub.SynthesizeStream(blank_request(number_of_images=3), metadata=many))
            gateway.wait_for_output('"message": "call"', 4)
        output = gateway.output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    calls = {line["request_id"]: line for line in lines if line["message"] == "call"}
    for line in lines:
        documented = EVERY_LINE.keys() | (ACCESS_LINE if line["message"] == "call" else OTHER_LINES).keys()
        assert line.keys() <= documented, line
    always = EVERY_LINE.keys() - {"exception"}
    always |= {"method", "code", "seconds", "received_bytes", "sent_bytes"}
    made = {
        "model",
        "model_version",
        "images",
        *(name for name in ACCESS_LINE if name.endswith("_seconds")),
        "cached_stages",
    }
    assert calls["good"].keys() == always | made | {"key", "trace_id"}
    assert calls["many"].keys() == always | made | {"key"}
    assert calls["bad"].keys() == always | {"key", "reason", "problem"}
    assert calls["stranger"].keys() == always | {"reason", "problem"}
    good = calls["good"]
    assert (good["method"], good["code"], good["model"], good["images"]) == ("Synthesize", "OK", "faces64", 1)
    assert (good["key"], good["trace_id"]) == ("studio", "4bf92f3577b34da6a3ce929d0e0e4736")
    assert (good["received_bytes"], good["sent_bytes"]) == (marked.ByteSize(), reply.ByteSize())
    assert 0 < good["stages_seconds"] <= good["seconds"]
    assert (calls["many"]["method"], calls["many"]["images"]) == ("SynthesizeStream", 3)
    assert (calls["bad"]["code"], calls["bad"]["reason"]) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert calls["stranger"]["code"] == "UNAUTHENTICATED"
    assert key not in output
    assert "4123456789" not in output


def test_lines_of_calls_can_be_switched_off(repository: Path) -> None:
    with gateway_process(repository, access_log=False) as gateway, Client(gateway.address) as client:
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), seed=1)
        gateway.wait_until_in_flight(0)
    assert " call method=" not in gateway.output


def test_failures_are_logged_with_the_request_id(
    gateway: GatewayProcess, stub: pb_grpc.SynthesisServiceStub
) -> None:
    with pytest.raises(grpc.RpcError):
        stub.Synthesize(blank_request(number_of_images=0), metadata=(("x-request-id", "find-me-in-the-log"),))
    gateway.wait_for_output("find-me-in-the-log")
    (line,) = (line for line in gateway.output.splitlines() if "find-me-in-the-log" in line)
    assert "INVALID_FIELD" in line
    assert "0 images" in line
