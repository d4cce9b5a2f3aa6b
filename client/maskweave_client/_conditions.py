"""Conditions besides label maps, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._files import FILES, File, file_bytes, upright
from maskweave_client._requests import (
    MAX_RAW_PIXELS,
    LabelMap,
    ids_of,
    label_map_to_proto,
    png_of,
    set_number,
)
from maskweave_client._strokes import Stroke, stroke_to_proto
from maskweave_client._style_requests import OPAQUE_MODES, SourceImage, image_to_proto

Sketch = NDArray[np.uint8] | Image.Image | File
"""Dark ink on a light or transparent ground: greys `[height, width]` (0 is full ink), RGB or RGBA uint8
`[height, width, 3 or 4]`, an image, or a PNG or JPEG file: its bytes or its path.

Images and files are taken as they are shown, turned as their Exif orientation says.
"""

ProxyMask = NDArray[Any] | Image.Image | File
"""A 2-D array of cluster ids, an image of mode P, L or 1 (its indices or greys are the ids), or a PNG file:
bytes or path."""

EXEMPLAR_MODES = OPAQUE_MODES
SKETCH_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")

_MAX_PNG_PIXELS = 1024 * 1024
"""Larger sketches travel as greys: compressing colours would take longer than sending."""


@dataclass(frozen=True)
class Scribble:
    """Strokes on an empty canvas, each of a class; the model fills in what is not drawn.

    Attributes:
        strokes: Each is drawn over those before it.
        width: Width of the canvas, whose pixels the strokes are in; the model's when None.
        height: Height of the canvas; the model's when None.
    """

    strokes: Sequence[Stroke]
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Conditions:
    """Every kind of condition that a call may be given; all but one are None."""

    label_map: LabelMap | None = None
    sketch: Sketch | None = None
    scribble: Scribble | LabelMap | None = None
    proxy_mask: ProxyMask | None = None
    exemplar: SourceImage | None = None


def condition_fields(conditions: Conditions) -> dict[str, Any]:
    """The condition as the field of a request.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: There is none or more than one, or its shape, mode or values cannot be what it is meant
            to be.
    """
    given = {name: value for name, value in vars(conditions).items() if value is not None}
    if len(given) != 1:
        found = ", ".join(given) or "none"
        raise ValueError(f"{', '.join(vars(conditions))}: got {found}; allowed: exactly one of them")
    ((name, value),) = given.items()
    return {name: _ENCODERS[name](value)}


def greys_of(image: Image.Image) -> NDArray[np.uint8]:
    """A sketch as it looks on white paper, uint8 `[height, width]`, 0 for black."""
    if image.mode.endswith("A") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("L"))


def _sketch(sketch: Sketch) -> pb.Sketch:
    if isinstance(sketch, FILES):
        return pb.Sketch(file=file_bytes("sketch", sketch))
    if isinstance(sketch, Image.Image):
        if sketch.mode not in SKETCH_MODES:
            raise ValueError(
                f"sketch: got an image of mode {sketch.mode}; allowed: {', '.join(SKETCH_MODES)}"
            )
        return _sketch_of_image(upright(sketch))
    if isinstance(sketch, np.ndarray):
        if sketch.dtype != np.uint8 or (sketch.ndim != 2 and sketch.shape[2:] not in ((3,), (4,))):
            raise ValueError(
                f"sketch: got {sketch.dtype} {sketch.shape}; allowed: uint8 [height, width], "
                "[height, width, 3] or [height, width, 4]"
            )
        if sketch.ndim == 2 and sketch.size <= MAX_RAW_PIXELS:
            return _raw_sketch(sketch)
        return _sketch_of_image(Image.fromarray(sketch))
    raise TypeError(
        f"sketch: got {type(sketch).__name__}; allowed: an array, a PIL image, or a PNG or JPEG file "
        "(bytes or path)"
    )


def _sketch_of_image(image: Image.Image) -> pb.Sketch:
    if image.width * image.height > _MAX_PNG_PIXELS:
        return _raw_sketch(greys_of(image))
    return pb.Sketch(file=png_of(image))


def _raw_sketch(greys: NDArray[np.uint8]) -> pb.Sketch:
    height, width = greys.shape
    return pb.Sketch(raw=pb.RawSketch(data=greys.tobytes(), width=width, height=height))


def _scribble(scribble: Scribble | LabelMap) -> pb.Scribble:
    if not isinstance(scribble, Scribble):
        ids = ids_of("scribble", scribble)
        return pb.Scribble(png=ids) if isinstance(ids, bytes) else pb.Scribble(raw=ids)
    strokes = pb.ScribbleStrokes(strokes=map(stroke_to_proto, scribble.strokes))
    for side in ("width", "height"):
        size = getattr(scribble, side)
        if size is not None:
            set_number(strokes, side, size, side, "an integer of 32 bits")
    return pb.Scribble(strokes=strokes)


def _proxy_mask(proxy_mask: ProxyMask) -> pb.ProxyMask:
    ids = ids_of("proxy_mask", proxy_mask, colored=False)
    return pb.ProxyMask(png=ids) if isinstance(ids, bytes) else pb.ProxyMask(raw=ids)


def _exemplar(exemplar: SourceImage) -> pb.Exemplar:
    image = image_to_proto("exemplar", exemplar)
    if image.WhichOneof("encoding") == "file":
        return pb.Exemplar(file=image.file)
    return pb.Exemplar(raw=image.raw)


_ENCODERS: dict[str, Any] = {
    "label_map": label_map_to_proto,
    "sketch": _sketch,
    "scribble": _scribble,
    "proxy_mask": _proxy_mask,
    "exemplar": _exemplar,
}
