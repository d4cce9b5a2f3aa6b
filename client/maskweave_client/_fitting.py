"""Requests made to fit their model, where it takes knowing the model.

- A sketch, an exemplar or an image that a label map is read off, beyond the model's limits, a photograph of a
  camera for example, is made smaller.
- A label map or a scribble in a PNG (or a Pillow image) with a palette whose colours are the model's under
  other ids, as a program that optimises files may leave it, is read by its colours. Its ids alone would make
  another image, and nobody would be told.

What cannot be read here is left as it is: the service says what is wrong with it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._conditions import EXEMPLAR_MODES, SKETCH_MODES, greys_of
from maskweave_client._files import upright
from maskweave_client._models import Limits, Model
from maskweave_client._palette import NOT_DRAWN, Palette
from maskweave_client._requests import encode_ids

LARGE_BYTES = 2**20
LARGE_PIXELS = 1024 * 1024
"""What no service refuses for its size: up to there nobody need be asked for limits."""

_GENEROUS = 4
"""How many times larger than the model reads it an image is sent that must be made smaller."""

_MESSAGE_REST = 2**16
"""Bytes of a request besides its image."""

_PNG = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3
"""Colour type in the header of a PNG with a palette, at byte 25."""

_OPAQUE = 128

_FORMATS = ("PNG", "JPEG", "MPO")
"""What a service takes, MPO being how some cameras write a JPEG."""

Ids = pb.LabelMap | pb.Scribble
Photo = pb.Sketch | pb.Exemplar | pb.SourcePicture


def needs_model(request: Message) -> bool:
    """Whether `fit` may have anything to do."""
    return any(
        _is_indexed(each) if isinstance(each, Ids) else _is_large(each) for each in _conditions(request)
    )


def fit(request: Message, model: Model) -> None:
    """Change a request where it does not fit the model."""
    for each in _conditions(request):
        if isinstance(each, Ids):
            if _is_indexed(each):
                _read_by_color(each, model.palette, model.limits)
        elif _is_large(each) and (size := _read_at(each, model)) is not None:
            _shrink(each, size, model.limits)


def _read_at(photo: Photo, model: Model) -> tuple[int, int] | None:
    """Width and height at which the model reads it; None if it takes none."""
    if isinstance(photo, pb.SourcePicture):
        return model.image_width, model.image_height
    kind = "sketch" if isinstance(photo, pb.Sketch) else "exemplar"
    return next(((each.width, each.height) for each in model.conditions if each.kind == kind), None)


def _conditions(request: Message) -> Iterator[Ids | Photo]:
    for _, value in request.ListFields():
        if isinstance(value, pb.SourcePicture):
            # What is edited keeps its size: the service takes no other.
            if isinstance(request, pb.ReadLabelMapRequest):
                yield value
        elif isinstance(value, Ids | pb.Sketch | pb.Exemplar):
            yield value
        elif isinstance(value, pb.PaintEdit):
            yield from _conditions(value)


def _is_indexed(ids: Ids) -> bool:
    head = ids.png[:26]
    return len(head) == 26 and head.startswith(_PNG) and head[25] == _INDEXED


def _read_by_color(message: Ids, palette: Palette, limits: Limits) -> None:
    width, height = (int.from_bytes(message.png[at : at + 4], "big") for at in (16, 20))
    if width * height > limits.max_label_map_pixels:
        return
    try:
        with Image.open(io.BytesIO(message.png), formats=("PNG",)) as image:
            image.load()
            if image.mode != "P" or getattr(image, "n_frames", 1) > 1:
                return
            ids = np.asarray(upright(image))
            colors = _colors(image)
    except Exception:  # Pillow raises what it pleases for damaged files, which the service refuses by name
        return
    new = renumbered(np.unique(ids), colors, palette, scribble=isinstance(message, pb.Scribble))
    if new is None:
        return
    encoded = encode_ids(new[ids])
    if isinstance(encoded, bytes):
        message.png = encoded
    else:
        message.raw.CopyFrom(encoded)


def renumbered(
    used: NDArray[np.uint8], colors: NDArray[np.uint8], palette: Palette, *, scribble: bool
) -> NDArray[np.uint8] | None:
    """The model's ids for the ids of a file, if the file's colours say that they are others.

    Args:
        used: The ids that the file's pixels have.
        colors: RGBA of the file's ids, `[colours, 4]`.
        palette: The model's.
        scribble: Whether there are pixels that are not drawn.

    Returns:
        The new id of each old one, uint8 `[256]`. None if not all colours are the model's, or if each is that
        of its id.
    """
    ids = {entry.rgb: entry.id for entry in palette}
    new = np.zeros(256, np.uint8)
    moved = False
    for old in used.tolist():
        if old >= len(colors):
            return None
        red, green, blue, alpha = colors[old].tolist()
        found = ids.get((red, green, blue))
        if scribble and (alpha < _OPAQUE or (old == NOT_DRAWN and found is None)):
            new[old] = NOT_DRAWN
        elif found is None:
            return None
        else:
            new[old] = found
            moved |= found != old
    return new if moved else None


def _colors(image: Image.Image) -> NDArray[np.uint8]:
    """RGBA of each index of an image with a palette, `[colours, 4]`."""
    rgb = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    alpha = np.full(len(rgb), 255, np.uint8)
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        count = min(len(transparency), len(rgb))
        alpha[:count] = np.frombuffer(transparency, np.uint8)[:count]
    elif isinstance(transparency, int) and transparency < len(rgb):
        alpha[transparency] = 0
    return np.column_stack([rgb, alpha])


def _is_large(photo: Photo) -> bool:
    if photo.WhichOneof("encoding") == "raw":
        return photo.raw.width * photo.raw.height > LARGE_PIXELS
    if len(photo.file) > LARGE_BYTES:
        return True
    opened = _opened(photo.file)
    return opened is not None and opened.width * opened.height > LARGE_PIXELS


def _shrink(photo: Photo, read_at: tuple[int, int], limits: Limits) -> None:
    raw = photo.WhichOneof("encoding") == "raw"
    image = _image_of(photo)
    if image is None:
        return
    fitting_bytes = raw or len(photo.file) <= limits.max_image_bytes
    if (
        fitting_bytes
        and image.width <= limits.max_label_map_width
        and image.height <= limits.max_label_map_height
        and image.width * image.height <= limits.max_label_map_pixels
    ):
        return
    try:
        image = upright(image)
        size = shrunk_size(image.size, read_at, limits)
        if isinstance(photo, pb.Sketch):
            greys = least_of_blocks(greys_of(image), *size)
            photo.raw.CopyFrom(pb.RawSketch(data=greys.tobytes(), width=size[0], height=size[1]))
        else:
            smaller = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            photo.raw.CopyFrom(pb.RawPicture(data=smaller.tobytes(), width=size[0], height=size[1]))
    except Exception:  # as above
        return


def shrunk_size(size: tuple[int, int], read_at: tuple[int, int], limits: Limits) -> tuple[int, int]:
    """Width and height, in about the same ratio, for an image that is too large.

    Within the limits, and no larger than is of use to the model, which reads it smaller still: `read_at`.
    """
    width, height = size
    pixels = min(limits.max_label_map_pixels, (limits.max_request_bytes - _MESSAGE_REST) // 3)
    scale = min(
        1.0,
        limits.max_label_map_width / width,
        limits.max_label_map_height / height,
        math.sqrt(pixels / (width * height)),
        max(_GENEROUS * read_at[0] / width, _GENEROUS * read_at[1] / height),
    )
    return max(1, int(width * scale)), max(1, int(height * scale))


def least_of_blocks(greys: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Make greys smaller so that each pixel is the darkest of those in its place: thin lines stay whole.

    Args:
        greys: uint8 `[height, width]`, at least as large as the result.
        width: Width of the result.
        height: Its height.

    Returns:
        uint8 `[height, width]`.
    """
    rows = np.arange(height) * greys.shape[0] // height
    columns = np.arange(width) * greys.shape[1] // width
    least: NDArray[np.uint8] = np.minimum.reduceat(np.minimum.reduceat(greys, rows, 0), columns, 1)
    return least


def _image_of(photo: Photo) -> Image.Image | None:
    """The image, not decoded yet; None if it is one of those that the service refuses."""
    if isinstance(photo, pb.Sketch):
        if photo.WhichOneof("encoding") == "raw":
            greys = np.frombuffer(photo.raw.data, np.uint8).reshape(photo.raw.height, photo.raw.width)
            return Image.fromarray(greys)
        modes: tuple[str, ...] = SKETCH_MODES
    else:
        if photo.WhichOneof("encoding") == "raw":
            pixels = np.frombuffer(photo.raw.data, np.uint8).reshape(photo.raw.height, photo.raw.width, 3)
            return Image.fromarray(pixels)
        modes = EXEMPLAR_MODES
    image = _opened(photo.file)
    if image is None or image.mode not in modes:
        return None
    return image if isinstance(photo, pb.Sketch) or "transparency" not in image.info else None


def _opened(file: bytes) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(file), formats=_FORMATS)
    except Exception:  # as above
        return None
