"""Requests with one thing wrong in a condition that is no label map, and what must be said about it."""

from __future__ import annotations

import io
import math
from typing import Any

from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from service.core.limits import LIMITS
from tests.support.bad_requests import HUGE, MANY, Case
from tests.support.png import RGB, chunk, header, one_channel_png

_ANY_SIZE = f"1 to {LIMITS.max_side} pixels"
_SKETCHED = "dark lines on a light or transparent ground"
_ON_WHITE = "a PNG or JPEG of 8 bits per channel: RGB, greyscale or palette, with or without transparency"
_OPAQUE = "a PNG or JPEG of 8 bits per channel: RGB, greyscale or palette, without transparency"
_DRAWN = "class ids 0 to 7, and 255 where nothing is drawn"


def _request(**condition: Any) -> pb.SynthesizeRequest:
    return pb.SynthesizeRequest(model="faces64", **condition)


def _sketch(data: bytes) -> pb.SynthesizeRequest:
    return _request(sketch=pb.Sketch(file=data))


def _greys(*greys: int, width: int | None = None, height: int = 1) -> pb.SynthesizeRequest:
    size = len(greys) if width is None else width
    return _request(sketch=pb.Sketch(raw=pb.RawSketch(data=bytes(greys), width=size, height=height)))


def _scribble(*ids: int) -> pb.SynthesizeRequest:
    return _request(scribble=pb.Scribble(raw=pb.RawLabelMap(data=bytes(ids), width=len(ids), height=1)))


def _strokes(*strokes: pb.Stroke, **size: int) -> pb.SynthesizeRequest:
    return _request(scribble=pb.Scribble(strokes=pb.ScribbleStrokes(strokes=strokes, **size)))


def _stroke(
    class_id: int = 1, width: float = 2, points: tuple[tuple[float, float], ...] = ((3, 4),)
) -> pb.Stroke:
    return pb.Stroke(class_id=class_id, width=width, points=[pb.Point(x=x, y=y) for x, y in points])


def _mask(data: bytes, width: int = 32, height: int = 32) -> pb.SynthesizeRequest:
    return _request(proxy_mask=pb.ProxyMask(raw=pb.RawLabelMap(data=data, width=width, height=height)))


def _exemplar(data: bytes) -> pb.SynthesizeRequest:
    return _request(exemplar=pb.Exemplar(file=data))


def _written(mode: str, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (64, 64)).save(file, kind)
    return file.getvalue()


_PNG = _written("RGB")
_WIDE = header(LIMITS.max_side + 1, 1, 8, RGB) + chunk(b"IDAT") + chunk(b"IEND")
_TOO_MANY_BYTES = _PNG + bytes(LIMITS.max_encoded_bytes)
_CUT_OFF_JPEG = _written("RGB", "JPEG")[:-20]
_EVERYWHERE = ((0.0, 0.0), (2047.0, 2047.0))

CONDITION_CASES = [
    # sketch
    Case("sketch_no_encoding", _request(sketch=pb.Sketch()), "sketch", "no encoding", "file, raw"),
    Case("sketch_no_file", _sketch(b""), "sketch.file", "0 bytes", _ON_WHITE),
    Case("sketch_webp", _sketch(_written("RGB", "WEBP")), "sketch.file", "a WebP file", _ON_WHITE),
    Case("sketch_16_bit", _sketch(_written("I;16")), "sketch.file", "greyscale with 16 bits", _ON_WHITE),
    Case("sketch_cmyk", _sketch(_written("CMYK", "JPEG")), "sketch.file", "mode CMYK", _ON_WHITE),
    Case("sketch_cut_off", _sketch(_PNG[:-20]), "sketch.file", "cut off after", "a complete PNG"),
    Case(
        "sketch_bomb",
        _sketch(HUGE),
        "sketch.file",
        "50000 x 50000 pixels",
        f"at most {LIMITS.max_pixels} in all",
    ),
    Case("sketch_too_wide", _sketch(_WIDE), "sketch.file", f"{LIMITS.max_side + 1} x 1 pixels", _ANY_SIZE),
    Case("sketch_too_many_bytes", _sketch(_TOO_MANY_BYTES), "sketch.file", "bytes", "at most 4194304 bytes"),
    Case(
        "sketch_white", _greys(255, 255), "sketch.raw", "a blank sketch: its darkest pixel has 0", _SKETCHED
    ),
    Case("sketch_faint", _greys(255, 224), "sketch.raw", "darkest pixel has 31 of 255 ink", "at least 32"),
    Case("sketch_transparent", _sketch(_written("RGBA")), "sketch.file", "a blank sketch", _SKETCHED),
    Case(
        "sketch_inverted",
        _greys(0, 0, 0, 255),
        "sketch.raw",
        "a dark sketch: its pixels have 191",
        "at most 128",
    ),
    Case(
        "sketch_short", _greys(0, width=2), "sketch.raw.data", "1 bytes", "exactly 2 bytes, for 2 x 1 pixels"
    ),
    Case("sketch_negative", _greys(0, width=-1), "sketch.raw", "-1 x 1 pixels", _ANY_SIZE),
    # scribble as an image
    Case("scribble_no_encoding", _request(scribble=pb.Scribble()), "scribble", "no encoding", "strokes"),
    Case(
        "scribble_empty", _scribble(255, 255), "scribble.raw", "a scribble of 255 alone", "at least one drawn"
    ),
    Case(
        "scribble_unknown_class", _scribble(255, 8), "scribble.raw", "class id 8 at pixel (x=1, y=0)", _DRAWN
    ),
    Case(
        "scribble_rgb",
        _request(scribble=pb.Scribble(png=_PNG)),
        "scribble.png",
        "colour type RGB with 8 bits",
        "one channel",
    ),
    Case(
        "scribble_bomb", _request(scribble=pb.Scribble(png=HUGE)), "scribble.png", "50000 x 50000", _ANY_SIZE
    ),
    Case(
        "scribble_runs_empty",
        _request(
            scribble=pb.Scribble(
                run_length=pb.RunLengthLabelMap(class_ids=[255], lengths=[4], width=2, height=2)
            )
        ),
        "scribble.run_length",
        "a scribble of 255 alone",
        "at least one drawn pixel",
    ),
    # scribble as strokes
    Case("strokes_none", _strokes(), "scribble.strokes.strokes", "0 strokes", f"1 to {LIMITS.max_strokes}"),
    Case(
        "strokes_many",
        _strokes(*[_stroke()] * (LIMITS.max_strokes + 1)),
        "scribble.strokes.strokes",
        f"{LIMITS.max_strokes + 1} strokes",
        f"1 to {LIMITS.max_strokes}",
    ),
    Case(
        "strokes_many_points",
        _strokes(_stroke(points=((1, 1),) * (LIMITS.max_stroke_points + 1))),
        "scribble.strokes.strokes",
        f"{LIMITS.max_stroke_points + 1} points",
        f"at most {LIMITS.max_stroke_points} points",
    ),
    Case(
        "strokes_unknown_class",
        _strokes(_stroke(), _stroke(9)),
        "scribble.strokes.strokes[1].class_id",
        "got 9",
        "one of the palette: 0, 1",
    ),
    Case(
        "strokes_not_drawn_is_no_class",
        _strokes(_stroke(255)),
        "scribble.strokes.strokes[0].class_id",
        "got 255",
        "one of the palette",
    ),
    Case(
        "strokes_narrow",
        _strokes(_stroke(width=0.5)),
        "scribble.strokes.strokes[0].width",
        "0.5",
        "1 to 1024 pixels",
    ),
    Case(
        "strokes_width_not_a_number",
        _strokes(_stroke(width=math.nan)),
        "scribble.strokes.strokes[0].width",
        "nan",
        "1 to 1024",
    ),
    Case(
        "strokes_no_points",
        _strokes(_stroke(points=())),
        "scribble.strokes.strokes[0].points",
        "no points",
        "at least 1",
    ),
    Case(
        "strokes_not_finite",
        _strokes(_stroke(points=((1, 1), (2, math.inf)))),
        "scribble.strokes.strokes[0].points[1].y",
        "inf",
        "-8192 to 8192",
    ),
    Case(
        "strokes_far_away",
        _strokes(_stroke(points=((-9000, 1),))),
        "scribble.strokes.strokes[0].points[0].x",
        "-9000",
        "-8192 to 8192",
    ),
    Case(
        "strokes_outside",
        _strokes(_stroke(points=((-50, -50),))),
        "scribble.strokes.strokes",
        "leave the canvas empty",
        "at least one drawn pixel",
    ),
    Case(
        "strokes_everywhere",
        _strokes(*[_stroke(width=1024, points=_EVERYWHERE)] * 5, width=2048, height=2048),
        "scribble.strokes.strokes",
        f"strokes over {5 * 2048 * 2048} pixels",
        f"at most {LIMITS.max_stroke_pixels} pixels",
    ),
    Case("strokes_no_canvas", _strokes(_stroke(), width=0), "scribble.strokes", "0 x 64 pixels", _ANY_SIZE),
    Case(
        "strokes_huge_canvas",
        _strokes(_stroke(), width=2**31 - 1, height=2**31 - 1),
        "scribble.strokes",
        "2147483647 x 2147483647",
        _ANY_SIZE,
    ),
    # proxy mask
    Case("mask_no_encoding", _request(proxy_mask=pb.ProxyMask()), "proxy_mask", "no encoding", "png, raw"),
    Case(
        "mask_other_size", _mask(bytes(64 * 64), 64, 64), "proxy_mask.raw", "64 x 64 cells", "exactly 32 x 32"
    ),
    Case("mask_short", _mask(bytes(1023)), "proxy_mask.raw.data", "1023 bytes", "exactly 1024 bytes"),
    Case(
        "mask_unknown_cluster",
        _mask(bytes(1022) + b"\x19\x1a"),
        "proxy_mask.raw",
        "cluster id 26 at pixel (x=31, y=31)",
        "cluster ids 0 to 25",
    ),
    Case(
        "mask_png_of_another_size",
        _request(proxy_mask=pb.ProxyMask(png=one_channel_png([[0, 1]]))),
        "proxy_mask.png",
        "2 x 1 cells",
        "exactly 32 x 32 cells",
    ),
    Case("mask_rgb", _request(proxy_mask=pb.ProxyMask(png=_PNG)), "proxy_mask.png", "RGB", "one channel"),
    Case(
        "mask_style_strength",
        pb.SynthesizeRequest(
            model="faces64",
            proxy_mask=pb.ProxyMask(raw=pb.RawLabelMap(data=bytes(1024), width=32, height=32)),
            style_strength=0.0,
        ),
        "style_strength",
        "got 0",
        "unset for faces64 and the condition proxy_mask",
    ),
    # exemplar
    Case("exemplar_no_encoding", _request(exemplar=pb.Exemplar()), "exemplar", "no encoding", "file, raw"),
    Case("exemplar_rgba", _exemplar(_written("RGBA")), "exemplar.file", "a PNG of colour type RGBA", _OPAQUE),
    Case("exemplar_cut_off", _exemplar(_CUT_OFF_JPEG), "exemplar.file", "damaged or cut off", "a complete"),
    Case("exemplar_bomb", _exemplar(HUGE), "exemplar.file", "50000 x 50000 pixels", "at most"),
    Case("exemplar_too_wide", _exemplar(_WIDE), "exemplar.file", f"{LIMITS.max_side + 1} x 1", _ANY_SIZE),
    Case(
        "exemplar_raw_short",
        _request(exemplar=pb.Exemplar(raw=pb.RawPicture(data=bytes(11), width=2, height=2))),
        "exemplar.raw.data",
        "11 bytes",
        "exactly 12 bytes",
    ),
    Case(
        "exemplar_style_strength",
        pb.SynthesizeRequest(model="faces64", exemplar=pb.Exemplar(file=_PNG), style_strength=0.5),
        "style_strength",
        "0.5",
        "unset for faces64 and the condition exemplar",
    ),
    # what holds for every kind
    Case(
        "sketch_many_images",
        pb.SynthesizeRequest(
            model="faces64",
            sketch=pb.Sketch(raw=pb.RawSketch(data=b"\0\xff", width=2, height=1)),
            number_of_images=MANY,
        ),
        "number_of_images",
        f"{MANY} images",
        "1 to 16 images",
    ),
    Case(
        "kind_not_accepted",
        pb.SynthesizeRequest(model="slow", exemplar=pb.Exemplar(file=_PNG)),
        "condition",
        "got exemplar",
        "what slow accepts: label_map",
    ),
]
