"""The same times in the reply, the trailer and the metrics; ids in logs; failures that leak nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process

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
        'maskweave_model_info{model="faces64_label_map",version="1"} 1.0',
    ):
        assert line in page


def test_failures_are_logged_with_the_request_id(
    gateway: GatewayProcess, stub: pb_grpc.SynthesisServiceStub
) -> None:
    with pytest.raises(grpc.RpcError):
        stub.Synthesize(blank_request(number_of_images=0), metadata=(("x-request-id", "find-me-in-the-log"),))
    gateway.wait_for_output("find-me-in-the-log")
    (line,) = (line for line in gateway.output.splitlines() if "find-me-in-the-log" in line)
    assert "INVALID_FIELD" in line
    assert "0 images" in line
