"""Replies, and what would not fit into one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument, NotFound, field_prefix
from service.rpc.messages.replies import server_timing
from service.rpc.service import SynthesisService
from service.rpc.status import describe, rich_status
from service.synthesis.registry.registry import build_registry
from service.synthesis.work import CallTimings, StageSum
from tests.support.fake_engine import ENSEMBLE, FakeEngine, with_parameters
from tests.support.service_stack import call_with, service_on

RAW = pb.SynthesizeRequest(
    model="tiny",
    label_map=pb.LabelMap(raw=pb.RawLabelMap(data=b"\0", width=1, height=1)),
    seed=7,
    number_of_images=4,
    image_format=pb.IMAGE_FORMAT_RAW,
)
OVERHEAD = 64 * 1024
FOUR_IMAGES = 4 * 2 * 2 * 3


def service(engine: FakeEngine, max_message_bytes: int) -> SynthesisService:
    stack = service_on(engine)
    registry = build_registry(engine.models())
    sessions = stack.service._sessions
    return SynthesisService(stack.service._runner, registry, sessions, max_message_bytes=max_message_bytes)


async def test_raw_images_that_do_not_fit_into_a_reply_are_not_made() -> None:
    engine = FakeEngine()
    call, sent = call_with()
    with pytest.raises(InvalidArgument, match="number_of_images: got 4 raw images of 2 x 2 pixels, 48 bytes"):
        await service(engine, OVERHEAD + FOUR_IMAGES - 1).synthesize(call, RAW)
    assert not sent
    assert not engine.contexts


async def test_raw_images_that_fit_are_made_and_files_may_turn_out_smaller() -> None:
    for image_format, room in ((pb.IMAGE_FORMAT_RAW, FOUR_IMAGES), (pb.IMAGE_FORMAT_PNG, 1)):
        request = pb.SynthesizeRequest()
        request.CopyFrom(RAW)
        request.image_format = image_format
        call, sent = call_with()
        await service(FakeEngine(), OVERHEAD + room).synthesize(call, request)
        (reply,) = map(pb.SynthesizeResponse.FromString, sent)
        assert [image.seed for image in reply.images] == [7, 8, 9, 10]
        assert reply.model_version == "1.0.0"
        assert {timing.image_index for timing in reply.timings.stages} == {0, 1, 2, 3}


async def test_a_reply_is_the_message_that_protobuf_would_write() -> None:
    """Its parts are serialised one by one; put behind each other they are the whole."""
    for count in (1, 3):
        request = pb.SynthesizeRequest()
        request.CopyFrom(RAW)
        request.number_of_images = count
        call, sent = call_with()
        await service(FakeEngine(), 2**20).synthesize(call, request)
        assert pb.SynthesizeResponse.FromString(sent[0]).SerializeToString() == sent[0]


async def test_pages_of_models_fit_into_a_message() -> None:
    """However long what is told of each: a page ends where the message has no more room."""
    infos = tuple(
        replace(
            with_parameters(ENSEMBLE, pack=f"pack_{number:02}", description="d" * 4096), name=f"m{number}"
        )
        for number in range(40)
    )
    listing, names, token = service(FakeEngine(infos=infos), 2 * OVERHEAD), list[str](), ""
    for _ in infos:
        call, sent = call_with()
        await listing.list_models(call, pb.ListModelsRequest(page_token=token))
        assert len(sent[0]) <= 2 * OVERHEAD
        reply = pb.ListModelsResponse.FromString(sent[0])
        names += [model.name for model in reply.models]
        if not (token := reply.next_page_token):
            break
    assert names == [f"pack_{number:02}" for number in range(40)]


def test_the_account_of_many_stages_fits_into_a_trailer() -> None:
    """Stages are named as directories are, which may be anything, and an ensemble may have any number."""
    names = ["größe, ; =", *(f"stage_{number:03}_{'x' * 200}" for number in range(100))]
    timings = CallTimings(stages={name: StageSum(seconds=0.001, runs=1) for name in names})
    told = server_timing(timings, 0.5)
    assert len(told) < 3000
    assert told.isascii()
    entries = [entry.split(";")[0] for entry in told.split(", ")]
    assert entries[3] == "gr__e_____"
    assert entries[-3:] == ["stages", "encode", "total"]
    assert f"stages;dur={(len(names) - len(entries) + 6):.3f}" in told


def test_what_was_shortened_says_its_true_length_under_any_prefix() -> None:
    with pytest.raises(InvalidArgument) as caught, field_prefix("a"), field_prefix("b"):
        raise InvalidArgument("c", "v" * 5000, "w" * 6000)
    assert caught.value.field == "a.b.c"
    assert caught.value.value == f"{'v' * 100}... (5000 characters)"
    assert caught.value.allowed == f"{'w' * 1000}... (6000 characters)"


@pytest.mark.parametrize("count", [3, 300])
def test_names_of_many_models_fit_into_a_trailer(count: int) -> None:
    names = [f"{number:03}" + "n" * 100 for number in range(count)]
    for error in (NotFound("model", "x", names), InvalidArgument("model", "x", ", ".join(names))):
        failure = describe(error)
        assert names[2] in failure.message
        assert len(failure.message) < 1300
        assert len(rich_status(failure, error, "r" * 128).SerializeToString()) < 4096
