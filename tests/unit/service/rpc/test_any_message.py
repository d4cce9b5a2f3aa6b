"""Any message to any method, in this process: an answer, or INVALID_ARGUMENT or NOT_FOUND; never INTERNAL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import EngineFailure
from tests.fuzz import targets
from tests.support.png import one_channel_png

wild = settings(deadline=None)  # the machine is small and busy


def without_number(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "number_of_images"}


UINT32 = st.integers(0, 9) | st.integers(0, 2**32 - 1)
INT32 = st.integers(0, 9) | st.integers(-(2**31), 2**31 - 1)
FLOATS = st.floats(width=32)

pngs = st.sampled_from([one_channel_png([[0, 4]]), one_channel_png([[1]]), b"\x89PNG"]) | st.binary(
    max_size=80
)
raws = st.builds(pb.RawLabelMap, data=st.binary(max_size=16), width=INT32, height=INT32)
runs = st.builds(
    pb.RunLengthLabelMap,
    class_ids=st.lists(UINT32, max_size=4),
    lengths=st.lists(UINT32, max_size=4),
    width=INT32,
    height=INT32,
)
label_maps = st.one_of(
    st.builds(pb.LabelMap, png=pngs),
    st.builds(pb.LabelMap, raw=raws | st.just(pb.RawLabelMap(data=b"\0\4", width=2, height=1))),
    st.builds(pb.LabelMap, run_length=runs),
    st.just(pb.LabelMap()),
)
latents = st.builds(pb.Latent, values=st.lists(FLOATS, min_size=3, max_size=3) | st.lists(FLOATS, max_size=5))
starts: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"seed": UINT32}),
    st.fixed_dictionaries({"seeds": st.builds(pb.SeedList, values=st.lists(UINT32, max_size=18))}),
    st.fixed_dictionaries({"latents": st.builds(pb.LatentList, latents=st.lists(latents, max_size=18))}),
    st.just({}),
)
others = st.fixed_dictionaries(
    {"model": st.just("tiny") | st.text(max_size=300), "label_map": label_maps},
    optional={
        "number_of_images": INT32,
        "style_strength": FLOATS,
        "image_format": st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5),
        "image_quality": INT32,
        "priority": st.integers(0, 9),
    },
)
requests = st.builds(lambda start, rest: pb.SynthesizeRequest(**start, **rest), starts, others)


one_start: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"seed": UINT32}), st.fixed_dictionaries({"latent": latents}), st.just({})
)
coordinates = st.floats(-4, 20, width=32) | FLOATS
strokes = st.builds(
    pb.Stroke,
    class_id=st.sampled_from([0, 4]) | UINT32,
    width=st.floats(1, 9, width=32) | FLOATS,
    points=st.lists(st.builds(pb.Point, x=coordinates, y=coordinates), max_size=5),
    erase=st.booleans(),
)
scribbles = st.one_of(
    st.builds(pb.Scribble, png=pngs),
    st.builds(pb.Scribble, raw=raws | st.just(pb.RawLabelMap(data=b"\0\4\xff" * 4, width=4, height=3))),
    st.builds(pb.Scribble, raw=st.just(pb.RawLabelMap(data=b"\xff" * 12, width=4, height=3))),
    st.builds(pb.Scribble, run_length=runs),
    st.builds(
        pb.Scribble,
        strokes=st.builds(
            pb.ScribbleStrokes,
            strokes=st.lists(strokes, max_size=3),
            width=st.none() | st.just(4) | INT32,
            height=st.none() | st.just(3) | INT32,
        ),
    ),
    st.just(pb.Scribble()),
)
greys = st.builds(pb.RawSketch, data=st.binary(min_size=12, max_size=12), width=st.just(4), height=st.just(3))
sketches = st.one_of(
    st.builds(pb.Sketch, file=pngs),
    st.builds(pb.Sketch, raw=greys | st.builds(pb.RawSketch, data=st.binary(max_size=16), width=INT32)),
    st.just(pb.Sketch()),
)
style_sets = st.dictionaries(st.integers(0, 4), st.builds(pb.Style, seed=st.none() | UINT32), max_size=3)
changes: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"strokes": st.builds(pb.StrokeList, strokes=st.lists(strokes, max_size=4))}),
    st.fixed_dictionaries({"label_map": label_maps}),
    st.fixed_dictionaries({"sketch": sketches}),
    st.fixed_dictionaries({"scribble": scribbles}),
    st.fixed_dictionaries({"styles": st.builds(pb.StyleSet, styles=style_sets)}),
    st.just({}),
)
pictures = st.one_of(
    st.just(pb.SourcePicture(raw=pb.RawPicture(data=bytes(12), width=2, height=2))),
    st.builds(pb.SourcePicture, file=pngs),
    st.just(pb.SourcePicture()),
)
edits = st.builds(
    pb.PaintEdit,
    picture=st.none() | pictures,
    source_label_map=st.none() | label_maps,
    blend_width=st.none() | st.just(1.0) | FLOATS,
)
good_canvas = pb.LabelMap(raw=pb.RawLabelMap(data=bytes(12), width=4, height=3))
paint_starts = st.builds(
    lambda start, rest: pb.PaintRequest(start=pb.PaintStart(**start, **rest)),
    one_start,
    st.one_of(
        st.just({"model": "tiny", "label_map": good_canvas}),
        others.map(without_number),
        st.fixed_dictionaries({"model": st.just("tiny"), "sketch": sketches}),
        st.fixed_dictionaries({"model": st.just("tiny"), "scribble": scribbles}),
        st.fixed_dictionaries({"model": st.just("dolls"), "label_map": label_maps, "styles": style_sets}),
        st.fixed_dictionaries(
            {"model": st.just("tiny"), "label_map": st.just(good_canvas), "edit": edits},
            optional={"sketch": sketches, "scribble": scribbles},
        ),
    ),
)
paint_updates = st.builds(
    lambda sequence, change, start, strength: pb.PaintRequest(
        update=pb.PaintUpdate(sequence=sequence, style_strength=strength, **change, **start)
    ),
    st.integers(0, 2**64 - 1),
    changes,
    one_start,
    st.none() | st.just(0.5) | FLOATS,
)


@st.composite
def sessions(draw: st.DrawFn) -> list[pb.PaintRequest]:
    """Mostly a start and updates in their order."""
    updates = draw(st.lists(paint_updates, max_size=6))
    if draw(st.booleans()):
        for number, message in enumerate(updates, 1):
            message.update.sequence = number
    messages = [draw(paint_starts), *updates]
    return draw(st.permutations(messages)) if draw(st.integers(0, 9)) == 9 else messages


@wild
@given(sessions())
def test_any_session(messages: list[pb.PaintRequest]) -> None:
    targets.paint(targets.joined(messages))


@wild
@given(requests, st.sampled_from([targets.synthesize, targets.synthesize_stream]))
def test_any_fields(request: Message, method: targets.Target) -> None:
    method(request.SerializeToString())


@wild
@given(requests, st.data())
def test_damaged_messages(request: Message, draws: st.DataObject) -> None:
    data = bytearray(request.SerializeToString())
    for _ in range(draws.draw(st.integers(1, 4))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    targets.synthesize(bytes(data))


readings = st.builds(
    lambda source, rest: pb.ReadLabelMapRequest(**source, **rest),
    st.one_of(
        st.fixed_dictionaries({"picture": pictures}),
        st.fixed_dictionaries({"seed": UINT32}),
        st.fixed_dictionaries({"latent": latents}),
        st.just({}),
    ),
    st.fixed_dictionaries(
        {"model": st.sampled_from(["tiny", "dolls"]) | st.text(max_size=20)},
        optional={
            "label_map_encoding": st.integers(0, 5),
            "image_format": st.integers(0, 5),
            "image_quality": INT32,
            "priority": st.integers(0, 9),
            "model_version": st.just("1.0.0") | st.text(max_size=9),
        },
    ),
)


@wild
@given(readings)
def test_any_reading(request: Message) -> None:
    targets.read_label_map(request.SerializeToString())


@pytest.mark.parametrize("method", targets.TARGETS.values(), ids=list(targets.TARGETS))
def test_any_bytes(method: targets.Target) -> None:
    @wild
    @given(st.binary(max_size=200))
    def send(data: bytes) -> None:
        method(data)

    send()


def test_a_target_notices_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of the proofs above: were the service to fail, its target would raise."""

    def fail(*_: object, **__: object) -> None:
        raise EngineFailure("broken")

    monkeypatch.setattr("service.synthesis.conditions.decoding.decode_raw", fail)
    monkeypatch.setattr("tests.fuzz.targets.decode_png", fail)
    raw = pb.RawLabelMap(data=b"\0", width=1, height=1)
    good = pb.SynthesizeRequest(model="tiny", label_map=pb.LabelMap(raw=raw)).SerializeToString()
    start = pb.PaintStart(model="tiny", label_map=pb.LabelMap(raw=raw))
    broken: list[tuple[Callable[[bytes], None], bytes]] = [
        (targets.synthesize, good),
        (targets.synthesize_stream, good),
        (targets.paint, targets.joined([pb.PaintRequest(start=start)])),
        (targets.png, b""),
    ]
    for target, data in broken:
        with pytest.raises(EngineFailure):
            target(data)
