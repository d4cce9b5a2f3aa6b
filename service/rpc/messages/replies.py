"""Results to the messages of the contract, serialised: most of this runs on worker threads."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from maskweave.v1 import synthesis_pb2 as pb
from service.codecs.provenance import DigitalSourceType
from service.rpc.messages.fields import FORMATS
from service.synthesis.canvas import CanvasProblem
from service.synthesis.conditions.types import EncodedIds, PngLabelMap, RawLabelMap, RunLengthLabelMap
from service.synthesis.edits import EditWork
from service.synthesis.frames import Blank
from service.synthesis.images import Image, ImageWork
from service.synthesis.painting import Frame
from service.synthesis.reading import ReadLabelMap
from service.synthesis.styles.encoding import EncodedStyles
from service.synthesis.work import CallTimings, Timings

_SOURCE_VALUES = {
    DigitalSourceType.TRAINED: pb.DIGITAL_SOURCE_TYPE_TRAINED_ALGORITHMIC_MEDIA,
    DigitalSourceType.COMPOSITE: pb.DIGITAL_SOURCE_TYPE_COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
}
_PROBLEMS = {
    CanvasProblem.EMPTY: pb.CANVAS_PROBLEM_EMPTY,
    CanvasProblem.TOO_MUCH_INK: pb.CANVAS_PROBLEM_TOO_MUCH_INK,
}
_MAX_STAGES_CHARS = 2048

# A model of the repository is named as its directory; a header's token takes less (RFC 9110, 5.6.2).
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_FORMAT_VALUES = {ours: value for value, ours in FORMATS.items() if value}


def synthesize_part(image: Image) -> bytes:
    """The part of a reply of `Synthesize` that one image is."""
    return pb.SynthesizeResponse(images=[_image(image)]).SerializeToString()


def synthesize_end(images: Sequence[Image], version: str, total_seconds: float) -> bytes:
    """The rest of a reply of `Synthesize`."""
    timings = _timings([(image.index, image.timings) for image in images], total_seconds)
    return pb.SynthesizeResponse(model_version=version, timings=timings).SerializeToString()


def stream_message(image: Image, version: str, total_seconds: float) -> bytes:
    """A message of `SynthesizeStream`."""
    return pb.SynthesizeStreamResponse(
        index=image.index,
        image=_image(image),
        model_version=version,
        timings=_timings([(image.index, image.timings)], total_seconds),
    ).SerializeToString()


def morph_message(image: Image, work: ImageWork, total_seconds: float) -> bytes:
    """A message of `Morph`."""
    return pb.MorphResponse(
        index=image.index,
        position=work.position(image.index),
        image=_image(image),
        model_version=work.request.model.version,
        timings=_timings([(image.index, image.timings)], total_seconds),
    ).SerializeToString()


def edit_message(image: Image, work: EditWork, total_seconds: float) -> bytes:
    """The reply of `Edit`. What was made of the source label map has the image index 1."""
    timings = _timings([(0, image.timings)], total_seconds)
    for stage in timings.stages[work.target_stages :]:
        stage.image_index = 1
    return pb.EditResponse(
        image=_image(image), model_version=work.edit.model.version, timings=timings
    ).SerializeToString()


def encode_styles_message(encoded: EncodedStyles, version: str, total_seconds: float) -> bytes:
    """The reply of `EncodeStyles`."""
    codes = [
        pb.StyleCode(
            model=code.model,
            model_version=code.model_version,
            class_id=code.class_id,
            values=code.values,
            covered_class_ids=code.covered_class_ids,
        )
        for code in encoded.codes
    ]
    return pb.EncodeStylesResponse(
        codes=codes, model_version=version, timings=_timings([(0, encoded.timings)], total_seconds)
    ).SerializeToString()


def read_label_map_message(read: ReadLabelMap, version: str, total_seconds: float) -> bytes:
    """The reply of `ReadLabelMap`."""
    return pb.ReadLabelMapResponse(
        label_map=_label_map(read.label_map),
        image=None if read.image is None else _image(read.image),
        model_version=version,
        timings=_timings([(0, read.timings)], total_seconds),
    ).SerializeToString()


def paint_message(frame: Frame) -> bytes:
    """A message of `Paint`."""
    return pb.PaintResponse(
        sequence=frame.sequence,
        image=None if isinstance(frame.image, Blank) else _image(frame.image),
        problem=_PROBLEMS[frame.image.problem]
        if isinstance(frame.image, Blank)
        else pb.CANVAS_PROBLEM_UNSPECIFIED,
        dropped_frames=frame.dropped,
        model_version=frame.model.version,
        timings=_timings([(0, frame.image.timings)], time.perf_counter() - frame.began),
    ).SerializeToString()


def server_timing(timings: CallTimings, total_seconds: float) -> str:
    """The account of a whole call: https://www.w3.org/TR/server-timing/, durations in milliseconds.

    A trailer has room for 8 KiB: stages for which there is none are told as one, `stages`.
    """
    entries = [
        f"queue;dur={timings.worker_wait * 1e3:.3f}",
        f"decode;dur={timings.decode * 1e3:.3f}",
        f"admission;dur={timings.queue_wait * 1e3:.3f}",
    ]
    size, more = 0, 0.0
    for name, total in timings.stages.items():
        described = f';desc="cached {total.cached} of {total.runs}"' if total.cached else ""
        entry = f"{_token(name)};dur={total.seconds * 1e3:.3f}{described}"
        size += len(entry)
        if size <= _MAX_STAGES_CHARS:
            entries.append(entry)
        else:
            more += total.seconds
    if size > _MAX_STAGES_CHARS:
        entries.append(f"stages;dur={more * 1e3:.3f}")
    entries.append(f"encode;dur={timings.encode * 1e3:.3f}")
    entries.append(f"total;dur={total_seconds * 1e3:.3f}")
    return ", ".join(entries)


def _image(image: Image) -> pb.Image:
    return pb.Image(
        data=image.file.data,
        format=_FORMAT_VALUES[image.format],
        width=image.width,
        height=image.height,
        seed=image.seed,
        digital_source_type=_SOURCE_VALUES[image.source],
        marked=image.file.marked,
        content_credentials=image.file.signed,
    )


def _label_map(label_map: EncodedIds) -> pb.LabelMap:
    match label_map:
        case PngLabelMap(data):
            return pb.LabelMap(png=data)
        case RawLabelMap(data, width, height):
            return pb.LabelMap(raw=pb.RawLabelMap(data=data, width=width, height=height))
        case RunLengthLabelMap(class_ids, lengths, width, height):
            runs = pb.RunLengthLabelMap(class_ids=class_ids, lengths=lengths, width=width, height=height)
            return pb.LabelMap(run_length=runs)


def _timings(images: Sequence[tuple[int, Timings]], total_seconds: float) -> pb.Timings:
    """The account of the time that these images of a request took, by their index."""
    # Of dictionaries protobuf makes the messages in place, in a third of the time that copies of them take.
    stages = [
        {
            "stage": stage.model,
            "image_index": index,
            "queue": _duration(stage.queue_seconds),
            "compute": _duration(stage.compute_seconds),
            "cached": stage.cached,
        }
        for index, timings in images
        for stage in timings.stages
    ]
    first = images[0][1]
    fields: dict[str, Any] = {
        "queue": _duration(first.worker_wait),
        "decode": _duration(first.decode),
        "stages": stages,
        "encode": _duration(sum(timings.encode for _, timings in images)),
        "admission": _duration(sum(timings.queue_wait for _, timings in images)),
        "total": _duration(total_seconds),
    }
    return pb.Timings(**fields)


@lru_cache(maxsize=1024)
def _token(name: str) -> str:
    """A stage's name as a header may have it."""
    return _NO_TOKEN.sub("_", name)


def _duration(seconds: float) -> dict[str, int]:
    nanos = round(seconds * 1e9)
    return {"seconds": nanos // 10**9, "nanos": nanos % 10**9}
