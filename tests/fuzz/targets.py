"""What is fuzzed: functions that take any bytes and raise only when the service would have failed.

An answer is right, and so is a refusal that tells the caller what was wrong with the request. Everything else
is a bug: any other exception, or an answer that is not of the promised form.
"""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from functools import cache, partial
from types import MappingProxyType
from typing import Any, TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.label_map import decode_raw, decode_run_length
from service.codecs.png import decode_png
from service.core.admission import Admission
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits
from service.core.metrics import Metrics
from service.core.statuses import describe
from service.rpc.calls import Call
from service.rpc.edit_servicer import EditServicer
from service.rpc.paint import PaintSessions
from service.rpc.servicer import SynthesisServicer
from service.rpc.status import rich_status
from service.rpc.style_servicer import StyleServicer
from service.synthesis.catalogue import build_catalogue
from service.synthesis.editing import Editor
from service.synthesis.painting import Painting
from service.synthesis.style_encoding import StyleEncoder
from service.synthesis.synthesizer import Synthesizer
from tests.support.fake_engine import EDITOR, ENSEMBLE, OTHER_CONDITIONS, WITH_STYLES, FakeEngine

Parsed = TypeVar("Parsed", bound=Message)
Target = Callable[[bytes], None]

REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})
_SIGNATURE = 8
# A PNG of the real bounds is legal and slow; what a fuzzer looks for is there in small pictures too.
_SMALL = Limits(max_side=512, max_pixels=512 * 512, max_stroke_pixels=512 * 512)


def png(data: bytes) -> None:
    """A file that says it is a PNG label map."""
    _refused_or_ids(lambda: decode_png(data, field="png", limits=_SMALL))


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
    """The bytes of a `Scribble`: strokes, or a picture."""
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
    request = _parsed(pb.SynthesizeRequest, data)
    if request is not None:
        _answered(request)


def synthesize_stream(data: bytes) -> None:
    """The bytes of a `SynthesizeRequest` for a stream."""
    request = _parsed(pb.SynthesizeRequest, data)
    if request is None:
        return

    async def read(call: Call) -> list[pb.SynthesizeStreamResponse]:
        return [reply async for reply in _servicer().synthesize_stream(request, call)]

    replies = _answer(read)
    if replies is not None:
        assert sorted(reply.index for reply in replies) == list(range(len(replies)))


def paint(data: bytes) -> None:
    """The messages of a session of `Paint`, each behind its length in two bytes."""
    requests = []
    for each in _split(data):
        if (request := _parsed(pb.PaintRequest, each)) is None:
            break
        requests.append(request)
    frames: list[pb.PaintResponse] = []

    async def session(call: Call) -> bool:
        async def send(frame: pb.PaintResponse) -> None:
            frames.append(frame)

        await _sessions().paint(_stream(requests), call, send)
        return True

    finished = _answer(session)
    sequences = [frame.sequence for frame in frames]
    assert sequences == sorted(set(sequences))
    assert all(frame.image.data for frame in frames)
    seen = len(frames) + sum(frame.dropped_frames for frame in frames)
    assert seen == len(requests) if finished else seen <= len(requests)
    if finished and len(requests) > 1:
        assert sequences[-1] == requests[-1].update.sequence


def encode_styles(data: bytes) -> None:
    """The bytes of an `EncodeStylesRequest`."""
    request = _parsed(pb.EncodeStylesRequest, data)
    if request is not None:
        reply = _answer(lambda call: _styles().encode_styles(request, call))
        if reply is not None:
            assert reply.codes
            assert all(np.abs(code.values).max() <= LIMITS.max_style_value for code in reply.codes)


def morph(data: bytes) -> None:
    """The bytes of a `MorphRequest`."""
    request = _parsed(pb.MorphRequest, data)
    if request is None:
        return

    async def read(call: Call) -> list[pb.MorphResponse]:
        return [reply async for reply in _styles().morph(request, call)]

    replies = _answer(read)
    if replies is not None:
        assert [reply.index for reply in replies] == list(range(request.number_of_frames))


def edit(data: bytes) -> None:
    """The bytes of an `EditRequest`."""
    request = _parsed(pb.EditRequest, data)
    if request is not None:
        reply = _answer(lambda call: _edits().edit(request, call))
        assert reply is None or reply.image.data


def list_models(data: bytes) -> None:
    """The bytes of a `ListModelsRequest`."""
    request = _parsed(pb.ListModelsRequest, data)
    if request is not None:
        _answer(lambda call: _servicer().list_models(request, call))


def get_model(data: bytes) -> None:
    """The bytes of a `GetModelRequest`."""
    request = _parsed(pb.GetModelRequest, data)
    if request is not None:
        _answer(lambda call: _servicer().get_model(request, call))


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


async def _stream(requests: Iterable[pb.PaintRequest]) -> AsyncIterator[pb.PaintRequest]:
    for request in requests:
        yield request


def _parsed(kind: type[Parsed], data: bytes) -> Parsed | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _answered(request: pb.SynthesizeRequest) -> None:
    """What the engine is given is of the tensors' shapes and types: the fake one checks."""
    reply = _answer(lambda call: _servicer().synthesize(request, call))
    if reply is not None:
        assert 1 <= len(reply.images) <= LIMITS.max_images
        assert all(image.data for image in reply.images)


def _answer(method: Callable[[Call], Any]) -> Any:
    async def ask() -> Any:
        loop = asyncio.get_running_loop()
        return await method(Call("r-1", time.perf_counter(), loop.time() + 60))

    _engine().contexts.clear()  # it remembers every request, and a fuzzer makes millions
    try:
        return _loop().run_until_complete(ask())
    except Exception as error:
        if describe(error).code not in REFUSALS:
            raise
        _check_told(error)
        return None


class _AtOnce(Executor):
    """Runs everything where it is submitted, so that a run can be repeated."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _engine() -> FakeEngine:
    return FakeEngine(infos=(ENSEMBLE, *OTHER_CONDITIONS, EDITOR, *WITH_STYLES))


@cache
def _servicer() -> SynthesisServicer:
    return SynthesisServicer(_synthesizer(), Metrics(), max_message_bytes=2**20)


@cache
def _sessions() -> PaintSessions:
    begin = partial(Painting.begin, synthesizer=_synthesizer(), codecs=_AtOnce(), limits=_SMALL)
    return PaintSessions(begin, Metrics(), idle_seconds=60, frame_seconds=60)


@cache
def _styles() -> StyleServicer:
    catalogue = build_catalogue(_engine().models())
    encoder = StyleEncoder(_engine(), catalogue, _AtOnce(), Admission(slots=4, room=64), _SMALL)
    return StyleServicer(encoder, _synthesizer(), Metrics())


@cache
def _edits() -> EditServicer:
    catalogue = build_catalogue(_engine().models())
    editor = Editor(_engine(), catalogue, _AtOnce(), Admission(slots=4, room=64), _SMALL)
    return EditServicer(editor, Metrics())


@cache
def _synthesizer() -> Synthesizer:
    catalogue = build_catalogue(_engine().models())
    return Synthesizer(_engine(), catalogue, _AtOnce(), Admission(slots=4, room=64), _SMALL)
