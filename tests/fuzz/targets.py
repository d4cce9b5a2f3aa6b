"""What is fuzzed: functions that take any bytes and raise only when the service would have failed.

An answer is right, and so is a refusal that tells the caller what was wrong with the request. Everything else
is a bug: any other exception, or an answer that is not of the promised form.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.label_map import decode_raw, decode_run_length
from service.codecs.png import decode_png
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits
from service.rpc.service import SynthesisService
from service.rpc.status import describe, rich_status
from tests.support.fake_engine import (
    EDITOR,
    ENSEMBLE,
    LABEL_READER,
    OTHER_CONDITIONS,
    OWN,
    WITH_STYLES,
    FakeEngine,
)
from tests.support.service_stack import call_with, service_on

Parsed = TypeVar("Parsed", bound=Message)
Target = Callable[[bytes], None]

REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})
_SIGNATURE = 8
# A PNG of the real bounds is legal and slow; what a fuzzer looks for is there in small images too.
_SMALL = Limits(max_side=512, max_pixels=512 * 512, max_stroke_pixels=512 * 512)


def png(data: bytes) -> None:
    """A file that says it is a PNG label map."""
    _refused_or_ids(lambda: decode_png(data, field="png", limits=_SMALL).ids)


def png_repaired(data: bytes) -> None:
    """The same with every checksum put right, so that what comes after the checks is reached."""
    png(repaired(data))


def run_length(data: bytes) -> None:
    """The bytes of a `RunLengthLabelMap`."""
    runs = _parsed(pb.RunLengthLabelMap, data)
    if runs is not None:
        sizes = (runs.width, runs.height)
        _refused_or_ids(
            lambda: decode_run_length(runs.class_ids, runs.lengths, *sizes, field="runs", limits=_SMALL),
            sizes,
        )


def raw(data: bytes) -> None:
    """The bytes of a `RawLabelMap`."""
    message = _parsed(pb.RawLabelMap, data)
    if message is not None:
        sizes = (message.width, message.height)
        _refused_or_ids(lambda: decode_raw(message.data, *sizes, field="raw", limits=_SMALL), sizes)


def sketch(data: bytes) -> None:
    """A file that says it is a sketch."""
    _answered(pb.SynthesizeRequest(model="tiny", seed=1, sketch=pb.Sketch(file=data)))


def sketch_repaired(data: bytes) -> None:
    """The same with every checksum put right."""
    sketch(repaired(data))


def scribble(data: bytes) -> None:
    """The bytes of a `Scribble`: strokes, or an image."""
    message = _parsed(pb.Scribble, data)
    if message is not None:
        _answered(pb.SynthesizeRequest(model="tiny", seed=1, scribble=message))


def proxy_mask(data: bytes) -> None:
    """The bytes of a `ProxyMask`."""
    message = _parsed(pb.ProxyMask, data)
    if message is not None:
        _answered(pb.SynthesizeRequest(model="tiny", seed=1, proxy_mask=message))


def exemplar(data: bytes) -> None:
    """A file that says it is an exemplar."""
    _answered(pb.SynthesizeRequest(model="tiny", seed=1, exemplar=pb.Exemplar(file=data)))


def exemplar_repaired(data: bytes) -> None:
    """The same with every checksum put right."""
    exemplar(repaired(data))


def synthesize(data: bytes) -> None:
    """The bytes of a `SynthesizeRequest` for one answer."""
    for reply in _answers("Synthesize", pb.SynthesizeResponse, data) or ():
        assert 1 <= len(reply.images) <= LIMITS.max_images
        assert all(image.data for image in reply.images)


def synthesize_stream(data: bytes) -> None:
    """The bytes of a `SynthesizeRequest` for a stream."""
    if (replies := _answers("SynthesizeStream", pb.SynthesizeStreamResponse, data)) is not None:
        assert sorted(reply.index for reply in replies) == list(range(len(replies)))


def paint(data: bytes) -> None:
    """The messages of a session of `Paint`, each behind its length in two bytes."""
    requests = []
    for each in _split(data):
        if (request := _parsed(pb.PaintRequest, each)) is None:
            break
        requests.append(request)
    sent: list[bytes] = []
    messages = [request.SerializeToString() for request in requests]
    finished = _answer("Paint", messages, sent)
    frames = [pb.PaintResponse.FromString(each) for each in sent]
    sequences = [frame.sequence for frame in frames]
    assert sequences == sorted(set(sequences))
    assert all(bool(frame.image.data) != bool(frame.problem) for frame in frames)
    seen = len(frames) + sum(frame.dropped_frames for frame in frames)
    assert seen == len(requests) if finished else seen <= len(requests)
    if finished and len(requests) > 1:
        assert sequences[-1] == requests[-1].update.sequence


def encode_styles(data: bytes) -> None:
    """The bytes of an `EncodeStylesRequest`."""
    for reply in _answers("EncodeStyles", pb.EncodeStylesResponse, data) or ():
        assert reply.codes
        assert all(np.abs(code.values).max() <= LIMITS.max_style_value for code in reply.codes)


def morph(data: bytes) -> None:
    """The bytes of a `MorphRequest`."""
    request = _parsed(pb.MorphRequest, data)
    replies = _answers("Morph", pb.MorphResponse, data)
    if replies is not None:
        assert request is not None
        assert [reply.index for reply in replies] == list(range(request.number_of_frames))


def edit(data: bytes) -> None:
    """The bytes of an `EditRequest`."""
    for reply in _answers("Edit", pb.EditResponse, data) or ():
        assert reply.image.data


def read_label_map(data: bytes) -> None:
    """The bytes of a `ReadLabelMapRequest`."""
    for reply in _answers("ReadLabelMap", pb.ReadLabelMapResponse, data) or ():
        assert reply.label_map.WhichOneof("encoding")


def list_models(data: bytes) -> None:
    """The bytes of a `ListModelsRequest`."""
    _answers("ListModels", pb.ListModelsResponse, data)


def get_model(data: bytes) -> None:
    """The bytes of a `GetModelRequest`."""
    _answers("GetModel", pb.GetModelResponse, data)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.__name__: target
        for target in (
            png,
            png_repaired,
            run_length,
            raw,
            sketch,
            sketch_repaired,
            scribble,
            proxy_mask,
            exemplar,
            exemplar_repaired,
            synthesize,
            synthesize_stream,
            paint,
            encode_styles,
            morph,
            edit,
            read_label_map,
            list_models,
            get_model,
        )
    }
)
"""Every target by name; `tests/corpus` has a directory for each."""


def joined(messages: Iterable[Message]) -> bytes:
    """The messages of a session as the target `paint` takes them."""
    packed = (message.SerializeToString() for message in messages)
    return b"".join(len(each).to_bytes(2, "big") + each for each in packed)


def repaired(data: bytes) -> bytes:
    """A PNG with the checksum of every chunk put right, as far as its lengths make sense."""
    out, position = bytearray(data), _SIGNATURE
    while position + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, position)
        end = position + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[position + 4 : end]))
        position = end + 4
    return bytes(out)


def _refused_or_ids(decode: Callable[[], NDArray[np.uint8]], sizes: tuple[int, int] | None = None) -> None:
    try:
        ids = decode()
    except InvalidArgument as error:
        _check_told(error)
        return
    assert ids.dtype == np.uint8
    assert ids.ndim == 2
    assert ids.size <= _SMALL.max_pixels
    assert sizes is None or ids.shape == (sizes[1], sizes[0])


def _check_told(error: Exception) -> None:
    """A refusal fits into a trailer, which holds 8 KiB, and says something."""
    failure = describe(error)
    assert failure.code in REFUSALS, failure
    assert failure.message
    assert len(rich_status(failure, error, "r" * LIMITS.max_request_id_chars).SerializeToString()) < 6000


def _split(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        yield data[position + 2 : end]
        position = end


def _parsed(kind: type[Parsed], data: bytes) -> Parsed | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _answered(request: pb.SynthesizeRequest) -> None:
    """What the engine is given is of the tensors' shapes and types: the fake one checks."""
    data = request.SerializeToString()
    for reply in _answers("Synthesize", pb.SynthesizeResponse, data) or ():
        assert 1 <= len(reply.images) <= LIMITS.max_images
        assert all(image.data for image in reply.images)


def _answers(method: str, kind: type[Parsed], data: bytes) -> list[Parsed] | None:
    """What a method answers to one message; None if it refuses."""
    sent: list[bytes] = []
    return [kind.FromString(each) for each in sent] if _answer(method, [data], sent) else None


def _answer(method: str, messages: Sequence[bytes], sent: list[bytes]) -> bool:
    """Call a method; whether it ended well. `sent` gets what it answered."""

    async def ask() -> None:
        call, answers = call_with(*messages)
        try:
            await behaviour(call)
        finally:
            sent.extend(answers)

    _, behaviour = _service().behaviours[method]
    _engine().contexts.clear()  # it remembers every request, and a fuzzer makes millions
    try:
        _loop().run_until_complete(ask())
    except Exception as error:
        if describe(error).code not in REFUSALS:
            raise
        _check_told(error)
        return False
    return True


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _engine() -> FakeEngine:
    return FakeEngine(infos=(ENSEMBLE, *OTHER_CONDITIONS, EDITOR, LABEL_READER, OWN, *WITH_STYLES))


@cache
def _service() -> SynthesisService:
    return service_on(_engine(), capacity=64, limits=_SMALL).service
