"""Replies, and what would not fit into one."""

from __future__ import annotations

import pytest

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.rpc.service import SynthesisService
from service.synthesis.registry.registry import build_registry
from tests.support.fake_engine import FakeEngine
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
