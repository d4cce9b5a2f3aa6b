"""What the client makes of a painting's arguments, before anything is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Stroke
from maskweave_client._paint_requests import paint_start, paint_update

SMALL = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)


def start(**changed: Any) -> pb.PaintStart:
    arguments: dict[str, Any] = {
        "seed": None,
        "latent": None,
        "style_strength": None,
        "image_format": "png",
        "quality": None,
        "priority": "interactive",
        **changed,
    }
    return paint_start("faces64", SMALL, **arguments).start


def update(**changed: Any) -> pb.PaintUpdate:
    arguments: dict[str, Any] = dict.fromkeys(("label_map", "strokes", "seed", "latent", "style_strength"))
    return paint_update(3, **{**arguments, **changed}).update


def test_what_is_not_given_is_not_set() -> None:
    for message in (start(), update()):
        assert message.WhichOneof("start") is None
        assert not message.HasField("style_strength")
    assert not start().HasField("image_quality")
    assert update() == pb.PaintUpdate(sequence=3)


def test_zeros_are_sent() -> None:
    for message in (start(seed=0, style_strength=0.0), update(seed=0, style_strength=0.0)):
        assert message.WhichOneof("start") == "seed"
        assert message.HasField("style_strength")


def test_everything_reaches_the_start() -> None:
    assert start(
        latent=np.array([0.5, 1.5]), style_strength=0.25, image_format="webp", quality=80, priority="batch"
    ) == pb.PaintStart(
        model="faces64",
        label_map=pb.LabelMap(raw=pb.RawLabelMap(data=SMALL.tobytes(), width=3, height=2)),
        latent=pb.Latent(values=[0.5, 1.5]),
        style_strength=0.25,
        image_format=pb.IMAGE_FORMAT_WEBP,
        image_quality=80,
        priority=pb.PRIORITY_BATCH,
    )


@pytest.mark.parametrize("points", [[(1, 2), (3.5, 4)], np.array([[1, 2], [3.5, 4]]), [[1, 2], [3.5, 4]]])
def test_strokes_from_arrays_and_sequences(points: Any) -> None:
    (stroke,) = update(strokes=[Stroke(5, points, 8)]).strokes.strokes
    assert stroke == pb.Stroke(class_id=5, width=8, points=[pb.Point(x=1, y=2), pb.Point(x=3.5, y=4)])


def test_a_canvas_travels_as_any_label_map() -> None:
    assert update(label_map=SMALL).label_map.raw.data == SMALL.tobytes()


def test_no_strokes_are_sent_for_the_service_to_refuse() -> None:
    assert update(strokes=[]).WhichOneof("change") == "strokes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 1, "latent": [0.0]}, "seed, latent: got both; allowed: one of them, or none"),
        ({"label_map": SMALL, "strokes": []}, "label_map, strokes: got both"),
        ({"seed": -1}, "seed: got -1; allowed: integers from 0"),
        ({"latent": ["a"]}, r"latent: got \['a'\]; allowed: numbers \[latent_size\]"),
        ({"strokes": [Stroke(-1, [(0, 0)], 2)]}, "class_id: got -1; allowed: an integer from 0"),
        ({"strokes": [Stroke(1, [(0, 0)], "wide")]}, "width: got 'wide'; allowed: a number"),  # type: ignore[arg-type]
        ({"strokes": [Stroke(1, [(0, 0, 0)], 2)]}, r"points: got \[\(0, 0, 0\)\]; allowed: numbers \[points"),
        ({"strokes": [Stroke(1, np.zeros((2, 3)), 2)]}, r"points: got float64 \(2, 3\)"),
        ({"strokes": [Stroke(1, [("a", 0)], 2)]}, "points: got"),  # type: ignore[list-item]
        ({"style_strength": "much"}, "style_strength: got 'much'"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        update(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_format": "gif"}, "image_format: got 'gif'"),
        ({"priority": "urgent"}, "priority: got 'urgent'"),
        ({"seed": 1, "latent": [0.0]}, "seed, latent: got both"),
    ],
)
def test_a_start_is_checked_likewise(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        start(**arguments)
