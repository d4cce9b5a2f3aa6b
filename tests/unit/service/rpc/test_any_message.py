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

    monkeypatch.setattr("service.synthesis.decoding.decode_raw", fail)
    monkeypatch.setattr("tests.fuzz.targets.decode_png", fail)
    raw = pb.RawLabelMap(data=b"\0", width=1, height=1)
    good = pb.SynthesizeRequest(model="tiny", label_map=pb.LabelMap(raw=raw)).SerializeToString()
    broken: list[tuple[Callable[[bytes], None], bytes]] = [
        (targets.synthesize, good),
        (targets.synthesize_stream, good),
        (targets.png, b""),
    ]
    for target, data in broken:
        with pytest.raises(EngineFailure):
            target(data)
