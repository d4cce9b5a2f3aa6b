"""Wild bytes over the real wire: every answer is an image or INVALID_ARGUMENT, and the service stays up."""

from __future__ import annotations

from typing import Any

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from tests.support.gateway_process import GatewayProcess, channel_to
from tests.support.png import one_channel_png

GOOD_PNG = one_channel_png([[0, 1, 2], [3, 4, 5]])
UINT32 = st.integers(0, 2**32 - 1) | st.integers(0, 9)
INT32 = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 9)

# The fixtures are one gateway and one channel for the whole session.
wire = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged_pngs(draw: st.DrawFn) -> bytes:
    data = bytearray(GOOD_PNG)
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] + draw(st.binary(max_size=20)))


label_maps = st.one_of(
    st.builds(lambda data: pb.LabelMap(png=data), damaged_pngs() | st.binary(max_size=100)),
    st.builds(
        lambda data, width, height: pb.LabelMap(raw=pb.RawLabelMap(data=data, width=width, height=height)),
        st.binary(max_size=30),
        INT32,
        INT32,
    ),
    st.builds(
        lambda ids, lengths, width, height: pb.LabelMap(
            run_length=pb.RunLengthLabelMap(class_ids=ids, lengths=lengths, width=width, height=height)
        ),
        st.lists(UINT32, max_size=5),
        st.lists(UINT32, max_size=5),
        INT32,
        INT32,
    ),
)

COORDINATES = st.floats(-9, 80, width=32) | st.floats(width=32)
strokes = st.builds(
    lambda class_id, width, points: pb.Stroke(
        class_id=class_id, width=width, points=[pb.Point(x=x, y=y) for x, y in points]
    ),
    UINT32,
    st.floats(1, 30, width=32) | st.floats(width=32),
    st.lists(st.tuples(COORDINATES, COORDINATES), max_size=5),
)
images = damaged_pngs() | st.binary(max_size=100)
conditions = st.one_of(
    st.fixed_dictionaries({"label_map": label_maps}),
    st.fixed_dictionaries({"sketch": st.builds(lambda data: pb.Sketch(file=data), images)}),
    st.fixed_dictionaries({"exemplar": st.builds(lambda data: pb.Exemplar(file=data), images)}),
    st.fixed_dictionaries({"proxy_mask": st.builds(lambda data: pb.ProxyMask(png=data), images)}),
    st.fixed_dictionaries(
        {
            "scribble": st.builds(
                lambda drawn, size: pb.Scribble(strokes=pb.ScribbleStrokes(strokes=drawn, **size)),
                st.lists(strokes, max_size=4),
                st.fixed_dictionaries({}, optional={"width": INT32, "height": INT32}),
            )
        }
    ),
)


@wire
@given(
    condition=conditions,
    seed=UINT32,
    number_of_images=st.none() | st.integers(0, 3) | INT32,
    style_strength=st.none() | st.floats(width=32),
    image_format=st.integers(0, 5),
    image_quality=st.none() | INT32,
)
def test_any_fields(
    *,
    stub: pb_grpc.SynthesisServiceStub,
    condition: dict[str, Any],
    seed: int,
    number_of_images: int | None,
    style_strength: float | None,
    image_format: pb.ImageFormat.ValueType,
    image_quality: int | None,
) -> None:
    request = pb.SynthesizeRequest(
        model="faces64",
        **condition,
        seed=seed,
        number_of_images=number_of_images,
        style_strength=style_strength,
        image_format=image_format,
        image_quality=image_quality,
    )
    try:
        reply = stub.Synthesize(request, timeout=30)
    except grpc.RpcError as error:
        code = error.code()
    else:
        code = grpc.StatusCode.OK
        assert len(reply.images) == (number_of_images or 1)
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)


@wire
@given(st.binary(max_size=60))
def test_any_message(gateway: GatewayProcess, data: bytes) -> None:
    with channel_to(gateway) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/maskweave.v1.SynthesisService/Synthesize"
        )
        try:
            call(data, timeout=30)
        except grpc.RpcError as error:
            code = error.code()
        else:
            code = grpc.StatusCode.OK
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
