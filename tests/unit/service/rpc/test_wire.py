"""Messages of a host of fields are refused before they are parsed."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS
from service.rpc.parsing import MAX_FIELDS, SMALL_BYTES, check_fields, parse


def empty_latents(count: int) -> bytes:
    latents = pb.LatentList.FromString(b"\x0a\x00" * count)
    return pb.SynthesizeRequest(model="tiny", latents=latents).SerializeToString()


def test_a_host_of_empty_messages_is_refused_without_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = empty_latents(8 * 2**20 - 100)
    assert len(data) > 2**24 - 1000
    monkeypatch.setattr(pb.SynthesizeRequest, "FromString", pytest.fail, raising=False)
    with pytest.raises(
        InvalidArgument, match=r"\(message\): got more than 32768 fields; allowed: at most 32768"
    ):
        check_fields(data, pb.SynthesizeRequest)


def test_the_largest_request_that_the_limits_allow_is_parsed() -> None:
    points = [pb.Point(x=1.5, y=2.5)] * (LIMITS.max_stroke_points // LIMITS.max_strokes)
    strokes = [pb.Stroke(class_id=1, width=2.5, points=points)] * LIMITS.max_strokes
    request = pb.SynthesizeRequest(
        model="tiny", scribble=pb.Scribble(strokes=pb.ScribbleStrokes(strokes=strokes))
    )
    assert parse(pb.SynthesizeRequest, request.SerializeToString()) == request
    file = pb.SynthesizeRequest(model="tiny", sketch=pb.Sketch(file=bytes(LIMITS.max_encoded_bytes)))
    assert parse(pb.SynthesizeRequest, file.SerializeToString()) == file
    seeds = pb.SynthesizeRequest(model="tiny", seeds=pb.SeedList(values=[2**31] * 100_000))
    assert parse(pb.SynthesizeRequest, seeds.SerializeToString()) == seeds  # packed: one field


def test_a_message_that_is_small_is_not_looked_at() -> None:
    assert len(empty_latents(MAX_FIELDS - 100)) <= SMALL_BYTES
    assert (
        len(parse(pb.SynthesizeRequest, empty_latents(MAX_FIELDS - 100)).latents.latents) == MAX_FIELDS - 100
    )


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(1, 4))
def test_any_bytes_are_counted_or_left_to_the_parser(data: bytes, depth: int) -> None:
    for _ in range(depth):
        data = b"\x0a" + len(data).to_bytes(1, "big") + data if len(data) < 128 else data
    long = data * (SMALL_BYTES // len(data) + 2)
    with suppress(InvalidArgument):
        parse(pb.SynthesizeRequest, long)


def test_nesting_without_end_is_left_to_the_parser() -> None:
    data = b""
    for _ in range(20_000):
        data = b"\x0a" + _varint(len(data)) + data
    with pytest.raises(InvalidArgument):
        parse(pb.SynthesizeRequest, data)


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
