"""Any sketch, scribble, proxy mask or exemplar, in this process: an answer or a refusal; never INTERNAL."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from service.core.errors import EngineFailure
from tests.fuzz import targets
from tests.unit.service.rpc.test_any_message import (
    INT32,
    UINT32,
    others,
    pngs,
    raws,
    runs,
    starts,
    strokes,
    wild,
)


def written(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


LINES = Image.frombytes("L", (3, 2), bytes([0, 255, 255, 255, 99, 255]))
FILES = [written(LINES, "PNG"), written(LINES.convert("RGBA"), "PNG"), written(LINES, "JPEG")]

files = st.sampled_from(FILES) | st.sampled_from(FILES).map(lambda data: data[:-20]) | pngs
sketches = st.one_of(
    st.builds(pb.Sketch, file=files),
    st.builds(pb.Sketch, raw=st.builds(pb.RawSketch, data=st.binary(max_size=9), width=INT32, height=INT32)),
    st.just(pb.Sketch()),
)
drawn = st.builds(
    lambda lines, size: pb.Scribble(strokes=pb.ScribbleStrokes(strokes=lines, **size)),
    st.lists(strokes, max_size=4),
    st.fixed_dictionaries({}, optional={"width": INT32, "height": INT32}),
)
scribbles = st.one_of(
    drawn,
    st.builds(pb.Scribble, png=pngs),
    st.builds(pb.Scribble, raw=raws | st.just(pb.RawLabelMap(data=b"\xff\4", width=2, height=1))),
    st.builds(pb.Scribble, run_length=runs),
    st.just(pb.Scribble()),
)
whole = st.builds(
    lambda data: pb.RawLabelMap(data=data, width=3, height=2), st.binary(min_size=6, max_size=6)
)
proxy_masks = st.one_of(
    st.builds(pb.ProxyMask, raw=whole | raws),
    st.builds(pb.ProxyMask, png=pngs),
    st.builds(pb.ProxyMask, run_length=runs),
    st.just(pb.ProxyMask()),
)
exemplars = st.one_of(
    st.builds(pb.Exemplar, file=files),
    st.builds(
        pb.Exemplar, raw=st.builds(pb.RawPicture, data=st.binary(max_size=16), width=INT32, height=INT32)
    ),
    st.just(pb.Exemplar()),
)
CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    "sketch": sketches,
    "scribble": scribbles,
    "proxy_mask": proxy_masks,
    "exemplar": exemplars,
}


@st.composite
def requests(draw: st.DrawFn, kind: str) -> pb.SynthesizeRequest:
    """Mostly plain but for the condition."""
    fields: dict[str, Any] = {"model": "tiny", "seed": draw(UINT32)}
    if draw(st.booleans()):
        fields = {**draw(starts), **draw(others)}
        fields.pop("label_map")
    return pb.SynthesizeRequest(**fields, **{kind: draw(CONDITIONS[kind])})


@pytest.mark.parametrize("kind", CONDITIONS)
def test_any_condition(kind: str) -> None:
    @wild
    @given(requests(kind), st.sampled_from([targets.synthesize, targets.synthesize_stream]))
    def send(request: pb.SynthesizeRequest, method: targets.Target) -> None:
        method(request.SerializeToString())

    send()


@pytest.mark.parametrize("kind", CONDITIONS)
def test_damaged_conditions(kind: str) -> None:
    @wild
    @given(requests(kind), st.data())
    def send(request: pb.SynthesizeRequest, draws: st.DataObject) -> None:
        data = bytearray(request.SerializeToString())
        for _ in range(draws.draw(st.integers(1, 4))):
            data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
        targets.synthesize(bytes(data))

    send()


def test_a_target_notices_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the service to fail, its target would raise."""

    def fail(*_: object, **__: object) -> None:
        raise EngineFailure("broken")

    for name in ("decode_on_white", "draw_scribble", "decode_raw", "decode_any_image"):
        monkeypatch.setattr(f"service.synthesis.conditions.decoding.{name}", fail)
    mask = pb.ProxyMask(raw=pb.RawLabelMap(data=bytes(6), width=3, height=2))
    point = pb.Stroke(class_id=4, width=1, points=[pb.Point(x=1, y=1)])
    scribble = pb.Scribble(strokes=pb.ScribbleStrokes(strokes=[point]))
    for target, data in (
        (targets.sketch, FILES[0]),
        (targets.sketch_repaired, FILES[0]),
        (targets.exemplar, FILES[0]),
        (targets.exemplar_repaired, FILES[0]),
        (targets.proxy_mask, mask.SerializeToString()),
        (targets.scribble, scribble.SerializeToString()),
    ):
        with pytest.raises(EngineFailure):
            target(data)
