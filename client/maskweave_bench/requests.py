"""From a scenario and what a service says of its models to messages that are ready to be sent.

Messages are made once, as bytes. A seed is added to one by appending its field, which is how protobuf merges
messages, so that sending a request costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_bench import inputs
from maskweave_bench.scenario import Ask, Scenario, ScenarioError
from maskweave_bench.strokes import StrokePiece, draw

SERVICE = "/maskweave.v1.SynthesisService/"

_SESSIONS = 8
_MIX = 4096
_SEEDS = 2**32

_KINDS = {
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request of the mix, ready to be sent.

    Attributes:
        name: For the report.
        method: gRPC's full name of the method.
        shape: How the call goes: one reply, a stream of replies, or a session of Paint.
        request: Name of the message that has the seed; empty for requests without.
        response: Name of the reply's message.
        templates: The messages without their seeds, one for each variant.
        sessions: Of Paint: the updates of a few sessions.
        images: Seeds that one request takes.
        distinct_seeds: 0 for new seeds.
        timeout: Deadline in seconds.
    """

    name: str
    method: str
    shape: Literal["unary", "stream", "paint"]
    request: str
    response: str
    templates: tuple[bytes, ...]
    sessions: tuple[tuple[Update, ...], ...]
    images: int
    distinct_seeds: int
    timeout: float

    def message(self, number: int, first_seed: int) -> bytes:
        """The message of request `number`.

        Args:
            number: Of the request in the load.
            first_seed: Of the load.
        """
        template = self.templates[number % len(self.templates)]
        if not self.request:
            return template
        seed = number * self.images
        if self.distinct_seeds:
            seed %= self.distinct_seeds * self.images
        return template + _with_seed(self.request, (first_seed + seed) % _SEEDS)


@dataclass(frozen=True, slots=True)
class Mix:
    """The requests of a scenario and their order.

    Attributes:
        prepared: The requests.
        order: Index of the request that each number is, over and over.
    """

    prepared: tuple[Prepared, ...]
    order: tuple[int, ...]

    def kind(self, number: int) -> int:
        """Which of the requests request `number` is: the same one in every load and on every target."""
        return self.order[number % len(self.order)]


def prepare(scenario: Scenario, models: Mapping[str, pb.Model]) -> Mix:
    """Make a scenario's messages.

    Args:
        scenario: What is asked.
        models: The service's models by name.

    Raises:
        ScenarioError: The service has no model for it.
    """
    random = np.random.default_rng(scenario.seed)
    prepared = [_prepare(ask, _model_for(ask, scenario, models), random) for ask in scenario.requests]
    weights = np.array([ask.weight for ask in scenario.requests])
    order = random.choice(len(prepared), size=_MIX, p=weights / weights.sum())
    return Mix(tuple(prepared), tuple(order.tolist()))


def models_used(scenario: Scenario, models: Mapping[str, pb.Model]) -> list[pb.Model]:
    """The models that a scenario asks for, each once."""
    used = {model.name: model for model in (_model_for(ask, scenario, models) for ask in scenario.requests)}
    return list(used.values())


def _model_for(ask: Ask, scenario: Scenario, models: Mapping[str, pb.Model]) -> pb.Model:
    name = ask.model or scenario.model
    if name:
        if name not in models:
            raise ScenarioError(
                f"model: got {name!r}, which the service does not have; allowed: {', '.join(models)}"
            )
        if problem := _cannot(ask, models[name]):
            raise ScenarioError(f"{ask.title}: the model {name} {problem}")
        return models[name]
    for model in models.values():
        if not _cannot(ask, model):
            return model
    problems = "; ".join(f"{model.name} {_cannot(ask, model)}" for model in models.values())
    raise ScenarioError(f"{ask.title}: no model of the service takes it: {problems or 'it has none'}")


def _cannot(ask: Ask, model: pb.Model) -> str:
    """Why a model does not take a request; empty when it does."""
    kinds = {support.kind for support in model.conditions}
    edits = model.HasField("editing") and (ask.source == "seed" or model.editing.pictures)
    makes = ask.rpc in {"synthesize", "synthesize_stream"}
    problems = (
        (makes and _KINDS[ask.condition] not in kinds, f"takes no {ask.condition}"),
        (ask.rpc == "paint" and pb.CONDITION_KIND_LABEL_MAP not in kinds, "takes no label_map"),
        (ask.rpc in {"encode_styles", "morph"} and not model.HasField("styles"), "has no styles"),
        (
            ask.rpc == "edit" and not edits,
            f"takes no edits of {'a seed' if ask.source == 'seed' else 'images'}",
        ),
        (
            makes and ask.images > model.limits.max_images > 0,
            f"makes at most {model.limits.max_images} images in one request",
        ),
    )
    return next((text for wrong, text in problems if wrong), "")


def _prepare(ask: Ask, model: pb.Model, random: np.random.Generator) -> Prepared:
    builders: dict[str, Callable[[Ask, pb.Model, np.random.Generator], Message]] = {
        "synthesize": _synthesize,
        "synthesize_stream": _synthesize,
        "paint": _paint,
        "encode_styles": _encode_styles,
        "morph": _morph,
        "edit": _edit,
        "list_models": lambda ask, model, random: pb.ListModelsRequest(),
        "get_model": lambda ask, model, random: pb.GetModelRequest(name=model.name),
    }
    method = "".join(word.capitalize() for word in ask.rpc.split("_"))
    build = builders[ask.rpc]
    if ask.inputs:
        messages: list[Message] = [_synthesize(ask, model, random, file) for file in map(_read, ask.inputs)]
    else:
        messages = [build(ask, model, random) for _ in range(1 if "model" in ask.rpc else ask.variants)]
    seeded = {
        "synthesize": "SynthesizeRequest",
        "synthesize_stream": "SynthesizeRequest",
        "paint": "PaintRequest",
        "morph": "MorphRequest",
        "edit": "EditRequest" if ask.source == "seed" else "",
    }
    return Prepared(
        name=ask.title,
        method=SERVICE + method,
        shape="paint"
        if ask.rpc == "paint"
        else "stream"
        if ask.rpc in {"synthesize_stream", "morph"}
        else "unary",
        request=seeded.get(ask.rpc, ""),
        response=method + "Response",
        templates=tuple(message.SerializeToString() for message in messages),
        sessions=tuple(_session(ask, model, random) for _ in range(_SESSIONS)) if ask.rpc == "paint" else (),
        images=ask.images,
        distinct_seeds=ask.distinct_seeds if ask.seeds == "repeated" else 0,
        timeout=ask.timeout_seconds + (ask.session_seconds if ask.rpc == "paint" else 0.0),
    )


def _with_seed(request: str, seed: int) -> bytes:
    if request == "PaintRequest":
        return pb.PaintRequest(start=pb.PaintStart(seed=seed)).SerializeToString()
    message: Message = getattr(pb, request)(seed=seed)
    return message.SerializeToString()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"inputs: {path} cannot be read: {error.strerror}") from error


def _synthesize(
    ask: Ask, model: pb.Model, random: np.random.Generator, file: bytes | None = None
) -> pb.SynthesizeRequest:
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


def _paint(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.PaintRequest:
    width, height = _size(ask, model)
    start = pb.PaintStart(
        model=model.name, image_format=_FORMATS[ask.image_format], priority=_PRIORITIES[ask.priority]
    )
    ids = inputs.label_map(random, _classes(model), width, height, detail=ask.detail)
    _ids(start.label_map, ask, ids, model)
    if ask.style_strength is not None:
        start.style_strength = ask.style_strength
    return pb.PaintRequest(start=start)


def _session(ask: Ask, model: pb.Model, random: np.random.Generator) -> tuple[Update, ...]:
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


def _encode_styles(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.EncodeStylesRequest:
    ids = inputs.label_map(random, _classes(model), model.image_width, model.image_height, detail=ask.detail)
    request = pb.EncodeStylesRequest(model=model.name, priority=_PRIORITIES[ask.priority])
    request.picture.file = inputs.encode(inputs.image(ids, _colors(model)))
    request.label_map.png = inputs.encode_ids(ids, _colors(model))
    return request


def _morph(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.MorphRequest:
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
            request.from_styles[here[0]].seed = int(random.integers(_SEEDS))
            request.to_styles[here[0]].seed = int(random.integers(_SEEDS))
            break
    return request


def _edit(ask: Ask, model: pb.Model, random: np.random.Generator) -> pb.EditRequest:
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
