"""The messages of a scenario's requests, without their seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench import inputs
from maskweave_bench.scenario import Ask
from maskweave_bench.strokes import StrokePiece, draw

SEEDS = 2**32

KINDS = {
    "label_map": pb.CONDITION_KIND_LABEL_MAP,
    "sketch": pb.CONDITION_KIND_SKETCH,
    "scribble": pb.CONDITION_KIND_SCRIBBLE,
    "proxy_mask": pb.CONDITION_KIND_PROXY_MASK,
    "exemplar": pb.CONDITION_KIND_EXEMPLAR,
}
_FORMATS = {
    "png": pb.IMAGE_FORMAT_PNG,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "raw": pb.IMAGE_FORMAT_RAW,
}
_PRIORITIES = {"interactive": pb.PRIORITY_INTERACTIVE, "batch": pb.PRIORITY_BATCH}


@dataclass(frozen=True, slots=True)
class Update:
    """An update of a session of Paint: when it is due after the session's begin, its number, its message."""

    due: float
    sequence: int
    message: bytes


def synthesize(
    ask: Ask, model: pb.Model, random: np.random.Generator, file: bytes | None = None
) -> pb.SynthesizeRequest:
    """The message of Synthesize and SynthesizeStream; with a file, that is its condition."""
    request = pb.SynthesizeRequest(
        model=model.name, image_format=_FORMATS[ask.image_format], priority=_PRIORITIES[ask.priority]
    )
    if ask.images != 1:
        request.number_of_images = ask.images
    if ask.image_quality is not None:
        request.image_quality = ask.image_quality
    if ask.style_strength is not None:
        request.style_strength = ask.style_strength
    if file is not None:
        field = "png" if ask.condition in {"label_map", "scribble", "proxy_mask"} else "file"
        setattr(getattr(request, ask.condition), field, file)
        return request
    width, height = _size(ask, model)
    ids = inputs.label_map(random, _classes(model), width, height, detail=ask.detail)
    if ask.condition == "label_map":
        _ids(request.label_map, ask, ids, model)
    elif ask.condition == "sketch":
        _sketch(request.sketch, ask, ids)
    elif ask.condition == "scribble":
        _scribble(request.scribble, ask, ids, model, random)
    elif ask.condition == "proxy_mask":
        support = _support(model, pb.CONDITION_KIND_PROXY_MASK)
        mask = inputs.proxy_mask(random, support.proxy_clusters, support.width, support.height)
        _ids(request.proxy_mask, ask, mask, model)
    else:
        _exemplar(request.exemplar, ask, inputs.image(ids, _colors(model)))
    return request


def _sketch(into: pb.Sketch, ask: Ask, ids: inputs.Ids) -> None:
    lines = inputs.sketch(ids)
    if ask.encoding == "raw":
        height, width = lines.shape
        into.raw.CopyFrom(pb.RawSketch(data=lines.tobytes(), width=width, height=height))
    else:
        into.file = inputs.encode(lines)


def _scribble(
    into: pb.Scribble, ask: Ask, ids: inputs.Ids, model: pb.Model, random: np.random.Generator
) -> None:
    if ask.encoding != "strokes":
        _ids(into, ask, inputs.scribble(random, ids), model)
        return
    height, width = ids.shape
    into.strokes.CopyFrom(pb.ScribbleStrokes(width=width, height=height))
    classes = len(model.palette)
    drawn = draw(random, seconds=4, updates_per_second=8, width=width, height=height, classes=classes)
    for piece in drawn[: model.limits.max_strokes or 16]:
        into.strokes.strokes.append(_stroke(model, piece))


def _exemplar(into: pb.Exemplar, ask: Ask, pixels: NDArray[np.uint8]) -> None:
    if ask.encoding == "raw":
        height, width, _ = pixels.shape
        into.raw.CopyFrom(pb.RawPicture(data=pixels.tobytes(), width=width, height=height))
    else:
        into.file = inputs.encode(pixels, "JPEG" if ask.encoding == "jpeg" else "PNG")


def paint(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.PaintRequest:
    """The first message of a session of Paint."""
    width, height = _size(ask, model)
    start = pb.PaintStart(
        model=model.name, image_format=_FORMATS[ask.image_format], priority=_PRIORITIES[ask.priority]
    )
    ids = inputs.label_map(random, _classes(model), width, height, detail=ask.detail)
    _ids(start.label_map, ask, ids, model)
    if ask.style_strength is not None:
        start.style_strength = ask.style_strength
    return pb.PaintRequest(start=start)


def session(ask: Ask, model: pb.Model, random: np.random.Generator) -> tuple[Update, ...]:
    """The updates of a session of Paint."""
    width, height = _size(ask, model)
    pieces = draw(
        random,
        seconds=ask.session_seconds,
        updates_per_second=ask.updates_per_second,
        width=width,
        height=height,
        classes=len(model.palette),
    )
    updates = []
    for sequence, piece in enumerate(pieces, start=1):
        update = pb.PaintUpdate(sequence=sequence)
        update.strokes.strokes.append(_stroke(model, piece))
        updates.append(Update(piece.due, sequence, pb.PaintRequest(update=update).SerializeToString()))
    return tuple(updates)


def encode_styles(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.EncodeStylesRequest:
    """The message of EncodeStyles."""
    ids = inputs.label_map(random, _classes(model), model.image_width, model.image_height, detail=ask.detail)
    request = pb.EncodeStylesRequest(model=model.name, priority=_PRIORITIES[ask.priority])
    request.picture.file = inputs.encode(inputs.image(ids, _colors(model)))
    request.label_map.png = inputs.encode_ids(ids, _colors(model))
    return request


def morph(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.MorphRequest:
    """The message of Morph."""
    width, height = _size(ask, model)
    ids = inputs.label_map(random, _classes(model), width, height, detail=ask.detail)
    request = pb.MorphRequest(
        model=model.name,
        number_of_frames=ask.frames,
        image_format=_FORMATS[ask.image_format],
        priority=_PRIORITIES[ask.priority],
    )
    _ids(request.label_map, ask, ids, model)
    shown = set(np.unique(ids).tolist())
    for support in model.styles.styles:
        if here := sorted(shown.intersection(support.class_ids)):
            request.from_styles[here[0]].seed = int(random.integers(SEEDS))
            request.to_styles[here[0]].seed = int(random.integers(SEEDS))
            break
    return request


def edit(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.EditRequest:
    """The message of Edit."""
    width, height = model.image_width, model.image_height
    before, after = (
        inputs.label_map(random, _classes(model), width, height, detail=ask.detail) for _ in range(2)
    )
    request = pb.EditRequest(
        model=model.name, image_format=_FORMATS[ask.image_format], priority=_PRIORITIES[ask.priority]
    )
    _ids(request.source_label_map, ask, before, model)
    _ids(request.target_label_map, ask, after, model)
    if ask.source == "image":
        request.picture.file = inputs.encode(inputs.image(before, _colors(model)))
    return request


def _ids(into: pb.LabelMap | pb.Scribble | pb.ProxyMask, ask: Ask, ids: inputs.Ids, model: pb.Model) -> None:
    height, width = ids.shape
    if ask.encoding == "raw":
        into.raw.CopyFrom(pb.RawLabelMap(data=ids.tobytes(), width=width, height=height))
    elif ask.encoding == "run_length":
        class_ids, lengths = inputs.runs(ids)
        into.run_length.CopyFrom(
            pb.RunLengthLabelMap(class_ids=class_ids, lengths=lengths, width=width, height=height)
        )
    else:
        into.png = inputs.encode_ids(ids, _colors(model))


def _stroke(model: pb.Model, piece: StrokePiece) -> pb.Stroke:
    widest = model.limits.max_stroke_width or piece.width
    return pb.Stroke(
        class_id=model.palette[piece.class_index].id,
        width=min(piece.width, widest),
        points=[pb.Point(x=float(x), y=float(y)) for x, y in piece.points],
    )


def _support(model: pb.Model, kind: int) -> pb.ConditionSupport:
    return next(support for support in model.conditions if support.kind == kind)


def _size(ask: Ask, model: pb.Model) -> tuple[int, int]:
    """Width and height of the condition: as asked, or as large as what comes back is."""
    return ask.width or model.image_width, ask.height or model.image_height


def _classes(model: pb.Model) -> dict[str, int]:
    return {entry.name: entry.id for entry in model.palette}


def _colors(model: pb.Model) -> dict[int, tuple[int, int, int]]:
    return {
        entry.id: (int(entry.color[1:3], 16), int(entry.color[3:5], 16), int(entry.color[5:7], 16))
        for entry in model.palette
    }
