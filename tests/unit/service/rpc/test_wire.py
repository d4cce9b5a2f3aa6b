"""Messages of a host of fields are refused before they are parsed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS
from service.rpc.parsing import MAX_FIELDS, SMALL_BYTES, parse, parsed, weigh


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
        weigh(data, pb.SynthesizeRequest)


@pytest.mark.parametrize("group", [b"\x0b\x0c", b"\xfb\x3e\xfc\x3e", b"\xfb\x3e\x08\x01\xfc\x3e"])
def test_a_group_hides_no_fields_behind_it(group: bytes) -> None:
    """The contract has no groups, but the parser takes unknown ones, wherever they stand."""
    host = empty_latents(MAX_FIELDS + 1)
    for data in (group + host, host + group, pb_field(5, group + b"\x0a\x00" * (MAX_FIELDS + 1))):
        assert len(parse(pb.SynthesizeRequest, data).latents.latents) == MAX_FIELDS + 1
        with pytest.raises(InvalidArgument, match="more than 32768 fields"):
            weigh(data, pb.SynthesizeRequest)


def pb_field(number: int, data: bytes) -> bytes:
    """A message as a field of another."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def test_the_largest_request_that_the_limits_allow_is_parsed() -> None:
    points = [pb.Point(x=1.5, y=2.5)] * (LIMITS.max_stroke_points // LIMITS.max_strokes)
    strokes = [pb.Stroke(class_id=1, width=2.5, points=points)] * LIMITS.max_strokes
    request = pb.SynthesizeRequest(
        model="tiny", scribble=pb.Scribble(strokes=pb.ScribbleStrokes(strokes=strokes))
    )
    assert taken_in(request) == request
    file = pb.SynthesizeRequest(model="tiny", sketch=pb.Sketch(file=bytes(LIMITS.max_encoded_bytes)))
    assert taken_in(file) == file
    seeds = pb.SynthesizeRequest(model="tiny", seeds=pb.SeedList(values=[2**31] * 100_000))
    assert taken_in(seeds) == seeds  # packed: one field


def taken_in(request: pb.SynthesizeRequest) -> pb.SynthesizeRequest:
    data = request.SerializeToString()
    weigh(data, pb.SynthesizeRequest)
    return parse(pb.SynthesizeRequest, data)


async def test_a_message_that_is_small_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    data = empty_latents(MAX_FIELDS - 100)
    assert len(data) <= SMALL_BYTES
    monkeypatch.setattr("service.rpc.parsing.weigh", pytest.fail)
    weights: list[int] = []
    assert len((await parsed(pb.SynthesizeRequest, data, weights.append)).latents.latents) == MAX_FIELDS - 100
    assert weights == [16 * len(data)]


async def test_large_messages_are_parsed_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def weighed(data: bytes, message: type[pb.SynthesizeRequest]) -> int:
        threads.append(threading.get_ident())
        return len(data)

    def read(request_type: type[pb.SynthesizeRequest], data: bytes) -> pb.SynthesizeRequest:
        threads.append(threading.get_ident())
        return parse(request_type, data)

    monkeypatch.setattr("service.rpc.parsing.weigh", weighed)
    monkeypatch.setattr("service.rpc.parsing.parse", read)
    large = pb.SynthesizeRequest(sketch=pb.Sketch(file=bytes(SMALL_BYTES)))
    weights: list[int] = []
    assert await parsed(pb.SynthesizeRequest, large.SerializeToString(), weights.append) == large
    assert weights == [len(large.SerializeToString())]
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def runs(count: int) -> bytes:
    message = pb.RunLengthLabelMap(class_ids=[1] * count, lengths=[1] * count, width=count, height=1)
    return pb.SynthesizeRequest(label_map=pb.LabelMap(run_length=message)).SerializeToString()


@pytest.mark.parametrize(
    "make",
    [
        lambda: runs(2**22 + 1),
        lambda: pb.SynthesizeRequest(sketch=pb.Sketch(file=bytes(2**24))).SerializeToString(),
        lambda: empty_latents(MAX_FIELDS - 100),
        lambda: pb.SynthesizeRequest(seeds=pb.SeedList(values=[1] * (2**22 + 1))).SerializeToString(),
    ],
    ids=["runs", "file", "empty", "seeds"],
)
def test_messages_take_no_more_memory_than_they_are_said_to(make: Callable[[], bytes]) -> None:
    """What is resident grows by less: the page counts of the kernel, since protobuf tells nothing."""
    data = make()
    before = resident_bytes()
    message = parse(pb.SynthesizeRequest, data)
    file = message.sketch.file
    grown = resident_bytes() - before
    assert file is not None
    weight = weigh(data, pb.SynthesizeRequest) if len(data) > SMALL_BYTES else 16 * len(data)
    assert grown <= weight


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(1, 4))
def test_any_bytes_are_counted_or_left_to_the_parser(data: bytes, depth: int) -> None:
    for _ in range(depth):
        data = b"\x0a" + len(data).to_bytes(1, "big") + data if len(data) < 128 else data
    long = data * (SMALL_BYTES // len(data) + 2)
    with suppress(InvalidArgument):
        weigh(long, pb.SynthesizeRequest)
    with suppress(InvalidArgument):
        parse(pb.SynthesizeRequest, long)


def test_nesting_without_end_is_left_to_the_parser() -> None:
    data = b""
    for _ in range(20_000):
        data = b"\x0a" + _varint(len(data)) + data
    assert weigh(data, pb.SynthesizeRequest) >= len(data)
    with pytest.raises(InvalidArgument):
        parse(pb.SynthesizeRequest, data)


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
