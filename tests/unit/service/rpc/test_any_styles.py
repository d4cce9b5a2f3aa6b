"""Any styles, in this process: an answer, or INVALID_ARGUMENT; what reaches the models is finite."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from tests.fuzz import targets
from tests.unit.service.rpc.test_any_message import label_maps

wild = settings(deadline=None)

UINT32 = st.integers(0, 9) | st.integers(0, 2**32 - 1)
FLOATS = st.floats(-2, 2, width=32) | st.floats(width=32)
BOTH = st.just(pb.LabelMap(raw=pb.RawLabelMap(data=b"\0\4\0\4", width=2, height=2)))

codes = st.builds(
    pb.StyleCode,
    model=st.just("dolls") | st.text(max_size=200),
    model_version=st.just("1.0.0") | st.text(max_size=200),
    class_id=st.sampled_from([0, 4]) | UINT32,
    values=st.lists(FLOATS, min_size=3, max_size=3) | st.lists(FLOATS, max_size=5),
    covered_class_ids=st.lists(UINT32, max_size=3),
)
sources: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"code": codes}), st.fixed_dictionaries({"seed": UINT32}), st.just({})
)
parts = st.builds(lambda weight, source: pb.WeightedStyle(weight=weight, **source), FLOATS, sources)
styles = st.one_of(
    st.builds(lambda source: pb.Style(**source), sources),
    st.builds(lambda each: pb.Style(blend=pb.StyleBlend(styles=each)), st.lists(parts, max_size=18)),
)
by_class = st.dictionaries(st.sampled_from([0, 4]) | UINT32, styles, max_size=4)
models = st.just("dolls") | st.sampled_from(["tiny", ""])

requests = st.builds(
    pb.SynthesizeRequest, model=models, label_map=BOTH | label_maps, seed=UINT32, styles=by_class
)
morphs = st.builds(
    pb.MorphRequest,
    model=models,
    label_map=BOTH | label_maps,
    from_styles=by_class,
    to_styles=by_class,
    number_of_frames=st.integers(1, 4) | st.integers(-(2**31), 2**31 - 1),
    first_position=FLOATS,
    last_position=FLOATS,
    path=st.integers(0, 3),
    seed=UINT32,
)
images = st.one_of(
    st.builds(pb.SourcePicture, file=st.binary(max_size=60)),
    st.just(pb.SourcePicture(raw=pb.RawPicture(data=bytes(12), width=2, height=2))),
    st.just(pb.SourcePicture()),
)
encodings = st.builds(
    pb.EncodeStylesRequest,
    model=models,
    picture=images,
    label_map=BOTH | label_maps,
    sample_seed=st.none() | UINT32,
)


@wild
@given(requests)
def test_synthesize(request: Message) -> None:
    targets.synthesize(request.SerializeToString())


@wild
@given(morphs)
def test_morph(request: Message) -> None:
    targets.morph(request.SerializeToString())


@wild
@given(encodings)
def test_encode(request: Message) -> None:
    targets.encode_styles(request.SerializeToString())
