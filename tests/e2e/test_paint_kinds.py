"""Painting sketches, scribbles, styles and edits: frames are what the unary methods make of the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_client import Client, PaintedEdit, Scribble, Seed, Stroke
from tests.e2e.test_paint import Session, raw, start, update
from tests.support.gateway_process import GatewayProcess, channel_to

Pixels = NDArray[np.uint8]
RAW = pb.IMAGE_FORMAT_RAW
SIZE = 64
"""Both sides of the small packs' images."""


def strokes(*drawn: dict[str, Any]) -> pb.StrokeList:
    """Strokes across the canvas, by their fields; `y` is where."""
    made = []
    for each in drawn:
        y = each.pop("y")
        points = [pb.Point(x=0, y=y), pb.Point(x=SIZE, y=y)]
        made.append(pb.Stroke(points=points, **{"width": 8, **each}))
    return pb.StrokeList(strokes=made)


def begin(**fields: Any) -> pb.PaintRequest:
    return pb.PaintRequest(
        start=pb.PaintStart(**{"model": "faces64", "seed": 7, "image_format": RAW, **fields})
    )


def raw_ids(ids: Pixels) -> pb.RawLabelMap:
    return pb.RawLabelMap(data=ids.tobytes(), width=ids.shape[1], height=ids.shape[0])


def raw_sketch(greys: Pixels) -> pb.Sketch:
    return pb.Sketch(raw=pb.RawSketch(data=greys.tobytes(), width=greys.shape[1], height=greys.shape[0]))


def synthesized(stub: pb_grpc.SynthesisServiceStub, **fields: Any) -> bytes:
    request = pb.SynthesizeRequest(**{"model": "faces64", "seed": 7, "image_format": RAW, **fields})
    return stub.Synthesize(request, timeout=60).images[0].data


def test_a_sketch_grows_from_nothing(stub: pb_grpc.SynthesisServiceStub) -> None:
    white = np.full((SIZE, SIZE), 255, np.uint8)
    session = Session(stub, begin(sketch=raw_sketch(white)))
    blank = session.frame()
    assert (blank.sequence, blank.problem, blank.HasField("image")) == (0, pb.CANVAS_PROBLEM_EMPTY, False)
    assert blank.model_version
    assert not blank.timings.stages

    session.send(update(1, strokes=strokes({"y": 4}, {"y": 40})))
    drawn = white.copy()
    drawn[0:8] = drawn[36:44] = 0
    frame = session.frame()
    assert (frame.problem, frame.image.seed) == (pb.CANVAS_PROBLEM_UNSPECIFIED, 7)
    assert frame.image.data == synthesized(stub, sketch=raw_sketch(drawn))

    session.send(update(2, strokes=strokes({"y": 4, "erase": True}), seed=8))
    drawn[0:8] = 255
    assert session.frame().image.data == synthesized(stub, sketch=raw_sketch(drawn), seed=8)

    session.send(update(3, sketch=raw_sketch(np.zeros((SIZE, SIZE), np.uint8))))
    dark = session.frame()
    assert (dark.problem, dark.HasField("image")) == (pb.CANVAS_PROBLEM_TOO_MUCH_INK, False)

    session.send(update(4, sketch=raw_sketch(drawn)))  # the session has gone on
    session.finish()
    assert session.frame().image.data == synthesized(stub, sketch=raw_sketch(drawn), seed=8)
    with pytest.raises(StopIteration):
        session.frame()


def test_a_scribble_grows_from_nothing(stub: pb_grpc.SynthesisServiceStub, gateway: GatewayProcess) -> None:
    empty = np.full((SIZE, SIZE), 255, np.uint8)
    for whole in (
        pb.Scribble(raw=raw_ids(empty)),
        pb.Scribble(
            run_length=pb.RunLengthLabelMap(class_ids=[255], lengths=[SIZE**2], width=SIZE, height=SIZE)
        ),
        pb.Scribble(strokes=pb.ScribbleStrokes()),
        pb.Scribble(strokes=pb.ScribbleStrokes(width=SIZE, height=SIZE)),
    ):
        made = gateway.metric("maskweave_images_total", model="faces64")
        session = Session(stub, begin(scribble=whole))
        assert session.frame().problem == pb.CANVAS_PROBLEM_EMPTY
        assert gateway.metric("maskweave_images_total", model="faces64") == made
        session.send(update(1, strokes=strokes({"y": 4, "class_id": 5}, {"y": 40, "class_id": 2})))
        drawn = empty.copy()
        drawn[0:8], drawn[36:44] = 5, 2
        frame = session.frame()
        assert frame.image.data == synthesized(stub, scribble=pb.Scribble(raw=raw_ids(drawn)))
        session.send(update(2, strokes=strokes({"y": 4, "erase": True})))
        session.finish()
        drawn[0:8] = 255
        assert session.frame().image.data == synthesized(stub, scribble=pb.Scribble(raw=raw_ids(drawn)))


def test_strokes_of_a_scribble_are_drawn_at_the_canvas_s_size(stub: pb_grpc.SynthesisServiceStub) -> None:
    large = pb.ScribbleStrokes(
        strokes=strokes({"y": 8, "class_id": 5, "width": 16}).strokes, width=SIZE, height=128
    )
    session = Session(stub, begin(scribble=pb.Scribble(strokes=large)))
    session.finish()
    drawn = np.full((128, SIZE), 255, np.uint8)
    drawn[0:16] = 5
    assert session.frame().image.data == synthesized(stub, scribble=pb.Scribble(raw=raw_ids(drawn)))


def test_strokes_of_a_scribble_may_erase_in_synthesize_too(stub: pb_grpc.SynthesisServiceStub) -> None:
    both = strokes({"y": 32, "class_id": 5, "width": 16}, {"y": 32, "erase": True, "width": 8})
    drawn = np.full((SIZE, SIZE), 255, np.uint8)
    drawn[24:40] = 5
    drawn[28:36] = 255
    expected = synthesized(stub, scribble=pb.Scribble(raw=raw_ids(drawn)))
    given = pb.Scribble(strokes=pb.ScribbleStrokes(strokes=both.strokes))
    assert synthesized(stub, scribble=given) == expected


def test_styles_stay_with_the_painting(dolls: GatewayProcess, dolls_client: Client) -> None:
    model = dolls_client.model("dolls")
    ids = [entry.id for entry in model.palette]
    canvas = np.full((SIZE, SIZE), ids[0], np.uint8)
    canvas[:32] = ids[1]
    one, other = pb.Style(seed=5), pb.Style(seed=6)
    with channel_to(dolls) as channel:
        stub = pb_grpc.SynthesisServiceStub(channel)

        def expected(label_map: Pixels, **styles: Any) -> bytes:
            return synthesized(stub, model="dolls", label_map=raw(label_map), **styles)

        # The last class is not on the canvas yet: its style counts from when it is.
        session = Session(stub, start(canvas, model="dolls", styles={ids[1]: one, ids[-1]: other}))
        assert session.frame().image.data == expected(canvas, styles={ids[1]: one})
        session.send(update(1, strokes=strokes({"y": 60, "class_id": ids[-1]})))
        painted = canvas.copy()
        painted[56:64] = ids[-1]
        both = session.frame().image.data
        assert both == expected(painted, styles={ids[1]: one, ids[-1]: other})
        session.send(update(2, seed=9))
        assert session.frame().image.data == expected(painted, styles={ids[1]: one, ids[-1]: other}, seed=9)
        session.send(update(3, styles=pb.StyleSet(styles={ids[-1]: one})))
        assert session.frame().image.data == expected(painted, styles={ids[-1]: one}, seed=9)
        session.send(update(4, styles=pb.StyleSet()))
        session.finish()
        assert session.frame().image.data == expected(painted, seed=9)


def test_edits_of_a_seed_are_what_edit_gives(stub: pb_grpc.SynthesisServiceStub, label_map: Pixels) -> None:
    edit = pb.PaintEdit(source_label_map=raw(label_map), blend_width=2)
    session = Session(stub, begin(label_map=raw(label_map), edit=edit))
    painted = label_map.copy()

    def expected(seed: int, **fields: Any) -> bytes:
        request = pb.EditRequest(
            model="faces64", seed=seed, source_label_map=raw(label_map), target_label_map=raw(painted),
            blend_width=2, image_format=RAW, **fields,
        )  # fmt: skip
        return stub.Edit(request, timeout=60).image.data

    first = session.frame()
    assert first.image.data == expected(7) == synthesized(stub, label_map=raw(label_map))
    session.send(update(1, strokes=strokes({"y": 4, "class_id": 5})))
    painted[0:8] = 5
    second = session.frame()
    assert second.image.data == expected(7) != first.image.data
    assert len(second.timings.stages) < len(first.timings.stages), "what is edited is made once"
    session.send(update(2, seed=8))
    assert session.frame().image.data == expected(8)
    session.send(update(3, style_strength=0.5))
    session.finish()
    assert session.frame().image.data == expected(8, style_strength=0.5)


def test_edits_of_an_image_are_what_edit_gives(
    stub: pb_grpc.SynthesisServiceStub, client: Client, label_map: Pixels
) -> None:
    image = client.synthesize("faces64", label_map, seed=3, image_format="raw").images[0]
    picture = pb.SourcePicture(raw=pb.RawPicture(data=image.data, width=SIZE, height=SIZE))
    for source in ({}, {"source_label_map": raw(label_map)}):
        edit = pb.PaintEdit(picture=picture, **source)  # type: ignore[arg-type]
        session = Session(
            stub,
            pb.PaintRequest(
                start=pb.PaintStart(model="faces64", label_map=raw(label_map), edit=edit, image_format=RAW)
            ),
        )
        session.frame()
        session.send(update(1, strokes=strokes({"y": 4, "class_id": 5})))
        session.finish()
        painted = label_map.copy()
        painted[0:8] = 5
        frame = session.frame()
        request = pb.EditRequest(
            model="faces64",
            picture=picture,
            target_label_map=raw(painted),
            image_format=RAW,
            **source,  # type: ignore[arg-type]
        )
        assert frame.image.data == stub.Edit(request, timeout=60).image.data
        assert not frame.image.HasField("seed")


def test_bad_canvases_name_the_field(stub: pb_grpc.SynthesisServiceStub, label_map: Pixels) -> None:
    white = raw_sketch(np.full((SIZE, SIZE), 255, np.uint8))
    empty = pb.Scribble(raw=raw_ids(np.full((SIZE, SIZE), 255, np.uint8)))
    picture = pb.SourcePicture(file=b"no image")
    edit = pb.PaintEdit(source_label_map=raw(label_map))
    with_map = begin(label_map=raw(label_map))
    cases: list[tuple[tuple[pb.PaintRequest, ...], str]] = [
        ((begin(),), "start.label_map"),
        ((begin(label_map=raw(label_map), sketch=white),), "start.sketch"),
        ((begin(sketch=white, scribble=empty),), "start.scribble"),
        ((begin(sketch=pb.Sketch()),), "start.sketch"),
        ((begin(sketch=pb.Sketch(file=b"no image")),), "start.sketch.file"),
        ((begin(scribble=pb.Scribble(raw=raw_ids(np.full((2, 2), 9, np.uint8)))),), "start.scribble.raw"),
        ((begin(label_map=raw(label_map), styles={1: pb.Style(seed=1)}),), "start.styles"),
        ((begin(sketch=white, edit=edit),), "start.edit"),
        ((begin(label_map=raw(label_map), edit=pb.PaintEdit(picture=picture)),), "start.edit.picture"),
        (
            (begin(label_map=raw(label_map), seed=None, edit=pb.PaintEdit(picture=picture)),),
            "start.edit.picture.file",
        ),
        ((begin(label_map=raw(label_map), edit=pb.PaintEdit(blend_width=-1)),), "start.edit.blend_width"),
        (
            (begin(label_map=raw(label_map), edit=pb.PaintEdit(source_label_map=pb.LabelMap())),),
            "start.edit.source_label_map",
        ),
        (
            (begin(label_map=raw(label_map), edit=pb.PaintEdit(source_label_map=pb.LabelMap(png=b"no"))),),
            "start.edit.source_label_map.png",
        ),
        ((with_map, update(1, sketch=white)), "update.sketch"),
        ((with_map, update(1, scribble=empty)), "update.scribble"),
        ((begin(sketch=white), update(1, label_map=raw(label_map))), "update.label_map"),
        ((begin(sketch=white), update(1, sketch=raw_sketch(np.zeros((2, 2), np.uint8)))), "update.sketch"),
        ((with_map, update(1, strokes=strokes({"y": 4, "erase": True}))), "update.strokes.strokes[0].erase"),
        (
            (begin(sketch=white), update(1, strokes=strokes({"y": 4, "class_id": 1}))),
            "update.strokes.strokes[0].class_id",
        ),
        (
            (begin(scribble=empty), update(1, strokes=strokes({"y": 4, "class_id": 1, "erase": True}))),
            "update.strokes.strokes[0].class_id",
        ),
        (
            (begin(scribble=empty), update(1, strokes=strokes({"y": 4, "class_id": 255}))),
            "update.strokes.strokes[0].class_id",
        ),
        ((with_map, update(1, styles=pb.StyleSet(styles={1: pb.Style(seed=1)}))), "update.styles.styles"),
    ]
    found = [Session(stub, *messages).refused_field() for messages, _ in cases]
    assert found == [field for _, field in cases]


def test_an_edit_of_an_image_takes_no_start(
    stub: pb_grpc.SynthesisServiceStub, client: Client, label_map: Pixels
) -> None:
    image = client.synthesize("faces64", label_map, seed=3, image_format="raw").images[0]
    picture = pb.SourcePicture(raw=pb.RawPicture(data=image.data, width=SIZE, height=SIZE))
    session = Session(
        stub,
        begin(label_map=raw(label_map), seed=None, edit=pb.PaintEdit(picture=picture)),
        update(1, seed=4),
    )
    assert session.refused_field() == "update.seed"


def test_the_client_paints_them_too(client: Client, dolls_client: Client, label_map: Pixels) -> None:
    white = np.full((SIZE, SIZE), 255, np.uint8)
    across = [(0, 4), (SIZE, 4)]
    with client.paint("faces64", sketch=white, seed=7, image_format="raw") as session:
        blank = next(session)
        assert blank.problem == "empty"
        with pytest.raises(ValueError, match="no image of this canvas: empty"):
            _ = blank.image
        session.stroke(0, across, width=8)
        drawn = next(session)
        session.stroke(0, across, width=8, erase=True)
        assert next(session).problem == "empty"
        session.update(sketch=np.zeros_like(white))
        session.finish()
        assert next(session).problem == "too_much_ink"
    ink = white.copy()
    ink[0:8] = 0
    assert drawn.problem is None
    assert (
        drawn.image.data
        == client.synthesize("faces64", sketch=ink, seed=7, image_format="raw").images[0].data
    )

    with client.paint(
        "faces64", scribble=Scribble([Stroke(5, across, 8)]), seed=7, image_format="raw"
    ) as session:
        first = next(session).image.data
        session.update(scribble=white)
        session.finish()
        assert next(session).problem == "empty"
    expected = client.synthesize(
        "faces64", scribble=Scribble([Stroke(5, across, 8)]), seed=7, image_format="raw"
    )
    assert first == expected.images[0].data

    edited = PaintedEdit(source=label_map, blend_width=2)
    with client.paint("faces64", label_map, seed=7, edit=edited, image_format="raw") as session:
        session.stroke(5, across, width=8)
        session.finish()
        last = list(session)[-1].image.data
    target = label_map.copy()
    target[0:8] = 5
    after = client.edit("faces64", 7, target, source=label_map, blend_width=2, image_format="raw")
    assert last == after.images[0].data

    model = dolls_client.model("dolls")
    ground = next(iter(model.palette)).id
    canvas = np.full((SIZE, SIZE), ground, np.uint8)
    with dolls_client.paint("dolls", canvas, seed=7, styles={ground: Seed(3)}, image_format="raw") as session:
        styled = next(session).image.data
        session.update(styles={})
        session.finish()
        plain = next(session).image.data
    same = {"seed": 7, "image_format": "raw"}
    assert plain == dolls_client.synthesize("dolls", canvas, **same).images[0].data  # type: ignore[arg-type]
    seeds = {ground: Seed(3)}
    assert styled == dolls_client.synthesize("dolls", canvas, styles=seeds, **same).images[0].data  # type: ignore[arg-type]
