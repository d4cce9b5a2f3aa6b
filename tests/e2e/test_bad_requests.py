"""Whatever a caller gets wrong has its own status, its field, what was sent and what is allowed."""

from __future__ import annotations

import uuid

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client, InvalidRequest, NotFound, Overloaded
from tests.support.bad_conditions import CONDITION_CASES
from tests.support.bad_requests import CASES, Case, png, request
from tests.support.gateway_process import GatewayProcess, channel_to
from tests.support.png import GREY_ALPHA, RGB, RGBA, header


def rich_status(error: grpc.RpcError) -> status_pb2.Status:
    assert isinstance(error, grpc.Call)
    trailer = dict(error.trailing_metadata())
    status: status_pb2.Status = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    return status


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in (*CASES, *CONDITION_CASES)])
@pytest.mark.parametrize("method", ["Synthesize", "SynthesizeStream"])
def test_invalid_argument(stub: pb_grpc.SynthesisServiceStub, case: Case, method: str) -> None:
    def call() -> None:
        if method == "Synthesize":
            stub.Synthesize(case.request, timeout=10)
        else:
            next(stub.SynthesizeStream(case.request, timeout=10))

    with pytest.raises(grpc.RpcError) as caught:
        call()

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rich_status(caught.value)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    info, who, bad_request = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RequestInfo(),
        error_details_pb2.BadRequest(),
    )
    assert [any_.Unpack(into) for any_, into in zip(status.details, (info, who, bad_request), strict=True)]
    assert (info.reason, info.domain, info.metadata["field"]) == ("INVALID_FIELD", "maskweave", case.field)
    assert who.request_id
    (violation,) = bad_request.field_violations
    assert violation.field == case.field
    got, allowed = violation.description.split("; allowed: ", 1)
    assert case.value in got
    assert case.allowed in allowed
    for part in (case.field, case.value, case.allowed):
        assert part in status.message == caught.value.details()


def test_unknown_model(stub: pb_grpc.SynthesisServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Synthesize(request(model="faces65"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    resource = error_details_pb2.ResourceInfo()
    assert rich_status(caught.value).details[2].Unpack(resource)
    assert (resource.resource_type, resource.resource_name) == ("model", "faces65")
    assert "faces64, slow" in resource.description


@pytest.mark.parametrize("characters", [3_000, 1_000_000])
def test_unknown_model_of_a_long_name(stub: pb_grpc.SynthesisServiceStub, characters: int) -> None:
    """Told in full, it would not fit into the trailer, and gRPC would say RESOURCE_EXHAUSTED."""
    with pytest.raises(grpc.RpcError, match=f"({characters} characters).*faces64, slow") as caught:
        stub.GetModel(pb.GetModelRequest(name="\N{SNOWMAN}" * characters))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.ListModelsRequest(page_size=-1), "page_size"),
        (pb.ListModelsRequest(page_token="not one of ours!"), "page_token"),
        (pb.ListModelsRequest(page_token="/w=="), "page_token"),
        (pb.ListModelsRequest(page_token="!" * 10_000), "page_token"),
    ],
    ids=["page_size", "page_token", "page_token_not_text", "page_token_long"],
)
def test_bad_pages(stub: pb_grpc.SynthesisServiceStub, message: pb.ListModelsRequest, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ListModels(message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad_request = error_details_pb2.BadRequest()
    assert rich_status(caught.value).details[2].Unpack(bad_request)
    assert [violation.field for violation in bad_request.field_violations] == [field]


def test_message_that_cannot_be_parsed(gateway: GatewayProcess) -> None:
    with channel_to(gateway) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/maskweave.v1.SynthesisService/Synthesize"
        )
        with pytest.raises(grpc.RpcError, match=r"maskweave\.v1\.SynthesizeRequest") as caught:
            call(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_message_over_the_limit(client: Client) -> None:
    limit = client.model("faces64").limits.max_request_bytes
    with pytest.raises(Overloaded, match=f"larger than max.*{limit}"):
        client.synthesize("faces64", bytes(limit + 1))


def test_unknown_method(gateway: GatewayProcess) -> None:
    with channel_to(gateway) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/maskweave.v1.SynthesisService/Draw"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_client_raises_its_own_exceptions(client: Client) -> None:
    request_id = uuid.uuid4().hex
    with pytest.raises(InvalidRequest, match="number_of_images") as invalid:
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), number_of_images=0, request_id=request_id)
    assert invalid.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert invalid.value.reason == "INVALID_FIELD"
    assert invalid.value.request_id == request_id
    (violation,) = invalid.value.violations
    assert violation.field == "number_of_images"
    with pytest.raises(InvalidRequest, match="class id 9"):
        list(client.synthesize_stream("faces64", np.full((2, 2), 9, np.uint8)))
    with pytest.raises(NotFound, match="'x'"):
        client.synthesize("x", np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("colour", [RGB, GREY_ALPHA, RGBA])
def test_depth_is_read_from_the_header_alone(stub: pb_grpc.SynthesisServiceStub, colour: int) -> None:
    """No pixel data follows the header, so that nothing can have been decoded."""
    with pytest.raises(grpc.RpcError, match="colour type"):
        stub.Synthesize(png(header(8, 8, 8, colour)))
