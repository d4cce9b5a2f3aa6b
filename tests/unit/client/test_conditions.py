"""What the client makes of conditions besides label maps, before anything is sent."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client import Palette, PaletteEntry, Scribble, Stroke
from maskweave_client._conditions import Conditions, condition_fields

GREYS = np.array([[0, 255, 128]], np.uint8)
IDS = np.array([[0, 255], [1, 2]], np.uint8)


def encoded(**condition: Any) -> Any:
    ((name, message),) = condition_fields(Conditions(**condition)).items()
    assert [name] == list(condition)
    return message


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_small_greys_travel_raw_and_strided_ones_as_they_look() -> None:
    raw = encoded(sketch=GREYS).raw
    assert (raw.width, raw.height, raw.data) == (3, 1, bytes([0, 255, 128]))
    assert encoded(sketch=GREYS.T).raw.height == 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_sketched_images_travel_as_png_as_they_are(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    with opened(encoded(sketch=image).file) as sent:
        assert (sent.format, sent.mode, sent.size) == ("PNG", mode, (5, 4))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_arrays_and_large_ones_travel_as_png(channels: int) -> None:
    with opened(encoded(sketch=np.zeros((4, 5, channels), np.uint8)).file) as sent:
        assert (sent.size, len(sent.getbands())) == ((5, 4), channels)
    with opened(encoded(sketch=np.zeros((300, 300), np.uint8)).file) as sent:
        assert (sent.size, sent.mode) == ((300, 300), "L")


def test_files_travel_as_they_are() -> None:
    assert encoded(sketch=b"file") == pb.Sketch(file=b"file")
    assert encoded(scribble=b"file") == pb.Scribble(png=b"file")
    assert encoded(proxy_mask=b"file") == pb.ProxyMask(png=b"file")
    assert encoded(exemplar=b"file") == pb.Exemplar(file=b"file")


def test_maps_of_ids_travel_raw_or_as_png() -> None:
    for kind in ("scribble", "proxy_mask"):
        for ids in (IDS, IDS.astype(np.int64), Image.fromarray(IDS)):
            raw = encoded(**{kind: ids}).raw
            assert (raw.width, raw.height, raw.data) == (2, 2, IDS.tobytes())
        assert encoded(**{kind: np.zeros((300, 300), np.int32)}).png


def test_strokes_travel_with_their_canvas_or_without() -> None:
    drawn = [Stroke(3, [(1, 2), (3.5, -4)], width=2.5), Stroke(0, np.array([[5, 6]]), width=1)]
    strokes = encoded(scribble=Scribble(drawn)).strokes
    assert not strokes.HasField("width")
    assert not strokes.HasField("height")
    assert [(each.class_id, each.width) for each in strokes.strokes] == [(3, 2.5), (0, 1)]
    assert [(point.x, point.y) for point in strokes.strokes[0].points] == [(1, 2), (3.5, -4)]
    sized = encoded(scribble=Scribble(drawn, 0, 512)).strokes
    assert (sized.HasField("width"), sized.width, sized.height) == (True, 0, 512)


def test_exemplars_travel_raw() -> None:
    raw = encoded(exemplar=np.zeros((4, 5, 3), np.uint8)).raw
    assert (raw.width, raw.height, len(raw.data)) == (5, 4, 60)
    assert encoded(exemplar=Image.new("L", (5, 4))).raw.width == 5


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ({}, "label_map, sketch, scribble, proxy_mask, exemplar: got none; allowed: exactly one"),
        ({"sketch": GREYS, "exemplar": b""}, "got sketch, exemplar; allowed: exactly one"),
        ({"sketch": Image.new("CMYK", (2, 2))}, "sketch: got an image of mode CMYK; allowed: 1, L, LA"),
        ({"sketch": GREYS.astype(np.float32)}, "sketch: got float32 .1, 3.; allowed: uint8"),
        ({"sketch": GREYS > 0}, "sketch: got bool .1, 3.; allowed: uint8"),
        ({"sketch": np.zeros((2, 2, 2), np.uint8)}, "sketch: got uint8 .2, 2, 2.; allowed: uint8"),
        ({"sketch": np.zeros(4, np.uint8)}, "sketch: got uint8 .4,.; allowed: uint8"),
        ({"scribble": Image.new("RGBA", (2, 2))}, "scribble: got an image of mode RGBA.*Palette.scribble"),
        ({"scribble": np.full((2, 2), 256)}, "scribble: got ids from 256 to 256; allowed: 0 to 255"),
        ({"scribble": Scribble([Stroke(-1, [(0, 0)], 1)])}, "class_id: got -1"),
        ({"scribble": Scribble([Stroke(1, [(0, 0)], 1)], width=2**40)}, "width: got 1099511627776"),
        ({"proxy_mask": np.zeros((2, 2))}, "proxy_mask: got float64 .2, 2.; allowed: integers"),
        ({"exemplar": Image.new("RGBA", (2, 2))}, "exemplar: got an image of mode RGBA"),
        ({"exemplar": np.zeros((2, 2), np.uint8)}, "exemplar: got uint8 .2, 2.; allowed: uint8"),
    ],
)
def test_what_cannot_be_a_condition(condition: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        condition_fields(Conditions(**condition))


@pytest.mark.parametrize("kind", ["label_map", "sketch", "scribble", "proxy_mask", "exemplar"])
def test_other_types(kind: str) -> None:
    with pytest.raises(TypeError, match=f"{kind}: got list; allowed:"):
        condition_fields(Conditions(**{kind: [1, 2]}))  # type: ignore[arg-type]


PALETTE = Palette((PaletteEntry(0, "a", "a", "#000000"), PaletteEntry(9, "b", "b", "#00ff00")))


def test_painted_images_become_scribbles() -> None:
    painted = np.array([[[0, 255, 0, 255], [0, 0, 0, 128], [7, 7, 7, 127]]], np.uint8)
    assert PALETTE.scribble(painted).tolist() == [[9, 0, 255]]
    assert PALETTE.scribble(Image.fromarray(painted)).tolist() == [[9, 0, 255]]
    painted[0, 2, 3] = 128
    with pytest.raises(ValueError, match=r"image: got #070707 at pixel .x=2, y=0.; allowed: #000000 a"):
        PALETTE.scribble(painted)
    with pytest.raises(ValueError, match=r"image: got uint8 .1, 3, 3.; allowed: uint8 .height, width, 4"):
        PALETTE.scribble(painted[..., :3])
