"""Spans of real gateways at a real receiver; without one, nothing of tracing is there."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client
from tests.support.gateway_process import GatewayProcess, channel_to, gateway_process
from tests.support.otlp_receiver import OtlpReceiver, Span, otlp_receiver
from tests.support.promises import in_time

BLANK = pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1))
STAGES = [
    "faces64_generator_head",
    "faces64_mapper_label_map",
    "faces64_rearranger",
    "faces64_generator_tail",
]
HELD_SECONDS = 0.35
FLUSH_SECONDS = 2.0
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def traced(repository: Path, receiver: OtlpReceiver) -> Iterator[GatewayProcess]:
    """A gateway that exports what its callers record, and nothing else."""
    with gateway_process(
        repository, SOON, otlp_endpoint=receiver.address, trace_sample_ratio=0, worker_threads=1
    ) as gateway:
        yield gateway


SERVICE = "maskweave.v1.SynthesisService"


def trace_of(number: int, *, sampled: bool = True) -> tuple[str, str]:
    """A trace id, and a `traceparent` with it."""
    trace_id = f"4bf92f3577b34da6a3ce929d{number:08x}"
    return trace_id, f"00-{trace_id}-00f067aa0ba902b7-0{int(sampled)}"


def named(spans: list[Span], name: str) -> Span:
    (found,) = (span for span in spans if span.name == name)
    return found


def test_a_request_is_a_tree_of_spans(traced: GatewayProcess, receiver: OtlpReceiver) -> None:
    trace_id, parent = trace_of(1)
    request = pb.SynthesizeRequest(model="faces64", label_map=BLANK, seed=9)
    with channel_to(traced) as channel:
        reply, _ = pb_grpc.SynthesisServiceStub(channel).Synthesize.with_call(
            request, metadata=(("traceparent", parent), ("x-request-id", "r-9"))
        )
    spans = receiver.trace(trace_id, f"{SERVICE}/Synthesize")
    call = named(spans, f"{SERVICE}/Synthesize")
    assert call.parent_id == "00f067aa0ba902b7"
    assert call.kind == 2  # SERVER
    assert call.attributes["rpc.grpc.status_code"] == 0
    assert call.attributes["maskweave.request_id"] == "r-9"
    assert call.attributes["maskweave.model"] == "faces64"
    assert call.resource["service.name"] == "maskweave"
    assert call.resource["deployment.environment"] == "test"
    image = named(spans, "image")
    assert image.parent_id == call.span_id
    parts = sorted((span for span in spans if span.parent_id == image.span_id), key=lambda span: span.start)
    names = [span.name for span in parts if span.name != "worker wait"]
    assert names == ["admission", "decode", *STAGES, "encode"]
    # They are where they belong, and as long as the reply says.
    for before, after in zip([call, *parts], [image, *parts[1:]], strict=False):
        assert before.start <= after.start
    assert all(span.start <= span.end <= image.end <= call.end for span in parts)
    told = {
        stage.stage: stage.queue.ToNanoseconds() + stage.compute.ToNanoseconds()
        for stage in reply.timings.stages
    }
    for stage in STAGES:
        span = named(spans, stage)
        assert span.end - span.start == pytest.approx(told[stage], abs=2000)
        assert span.attributes["maskweave.cached"] is False


def test_only_what_is_recorded_is_exported(traced: GatewayProcess, receiver: OtlpReceiver) -> None:
    unsampled, header = trace_of(2, sampled=False)
    later, last = trace_of(3)
    request = pb.SynthesizeRequest(model="faces64", label_map=BLANK, seed=9)
    with channel_to(traced) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        stub.Synthesize(request, metadata=(("traceparent", header),))
        stub.Synthesize(request)  # nobody records it, and the gateway's own part is 0
        stub.GetModel(pb.GetModelRequest(name="faces64"), metadata=(("traceparent", last),))
    receiver.trace(later, f"{SERVICE}/GetModel")
    before = {span.trace_id for span in receiver.spans}
    assert unsampled not in before
    assert all(trace_id.startswith("4bf92f3577b34da6a3ce929d") for trace_id in before)


def test_failures_are_marked_by_whose_they_are(traced: GatewayProcess, receiver: OtlpReceiver) -> None:
    bad, header = trace_of(4)
    late, deadline = trace_of(5)
    with channel_to(traced) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)
        for metadata, timeout, model in ((header, 60, "nobody"), (deadline, 0.0001, "faces64")):
            with pytest.raises(grpc.RpcError):
                stub.Synthesize(
                    pb.SynthesizeRequest(model=model, label_map=BLANK),
                    metadata=(("traceparent", metadata),),
                    timeout=timeout,
                )
    (call,) = receiver.trace(bad, f"{SERVICE}/Synthesize")
    assert not call.failed  # the caller's own mistake
    assert call.attributes["maskweave.reason"] == "RESOURCE_NOT_FOUND"
    del late  # the deadline may have passed before anything arrived here


def test_frames_of_a_session_are_images_of_one_call(traced: GatewayProcess, receiver: OtlpReceiver) -> None:
    trace_id, header = trace_of(6)
    start = pb.PaintRequest(start=pb.PaintStart(model="faces64", label_map=BLANK))
    update = pb.PaintRequest(update=pb.PaintUpdate(sequence=1, seed=3))
    with channel_to(traced) as channel:
        frames = list(
            pb_grpc.SynthesisServiceStub(channel).Paint(
                iter([start, update]), metadata=(("traceparent", header),), timeout=60
            )
        )
    spans = receiver.trace(trace_id, f"{SERVICE}/Paint")
    call = named(spans, f"{SERVICE}/Paint")
    images = [span for span in spans if span.name == "image"]
    assert len(images) == len(frames)
    assert {span.parent_id for span in images} == {call.span_id}


def test_a_part_is_recorded_unasked(repository: Path, receiver: OtlpReceiver) -> None:
    with (
        gateway_process(repository, SOON, otlp_endpoint=receiver.address, trace_sample_ratio=1) as gateway,
        Client(gateway.address) as client,
    ):
        known = {span.trace_id for span in receiver.spans}
        client.synthesize("faces64", np.zeros((1, 1), np.uint8), seed=1)
    # What was left is sent at the stop.
    names = {span.name for span in receiver.spans if span.trace_id not in known}
    assert {f"{SERVICE}/Synthesize", "image", *STAGES} <= names


@pytest.mark.parametrize("listening", [False, True], ids=["nobody listens", "nobody answers"])
def test_a_receiver_that_is_away_harms_nobody(repository: Path, *, listening: bool) -> None:
    """Requests are answered, and the gateway stops without waiting for it for long."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listening:
            taken.listen()
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            gateway_process(repository, SOON, otlp_endpoint=address, trace_sample_ratio=1) as gateway,
            Client(gateway.address) as client,
        ):
            for seed in range(3):
                assert client.synthesize("faces64", np.zeros((1, 1), np.uint8), seed=seed).images
            with in_time(HELD_SECONDS + FLUSH_SECONDS):
                gateway.terminate()
                assert gateway.wait() == 0


def test_without_a_receiver_the_sdk_is_not_even_imported(repository: Path) -> None:
    with (
        gateway_process(repository, {"PYTHONPROFILEIMPORTTIME": "1"}) as gateway,
        Client(gateway.address) as client,
    ):
        client.synthesize("faces64", np.zeros((1, 1), np.uint8), seed=1)
        imported = re.findall(r"^import time:.*\| +([\w.]+)$", gateway.output, re.MULTILINE)
    assert "service.core.trace" in imported
    assert not [name for name in imported if name.startswith("opentelemetry")]


@pytest.mark.parametrize("endpoint", ["localhost:4317", "grpc://x:1", "http://", "http://a b:1"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    from service.app.sources import SettingsError, read_settings  # noqa: PLC0415

    with pytest.raises(SettingsError, match=r"otlp_endpoint .*allowed: http://HOST:PORT"):
        read_settings({"otlp_endpoint": endpoint}, None)
