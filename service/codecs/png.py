"""Reads the class ids of a PNG label map: indices and greys as they are stored, or by colour.

A lossless optimiser may sort a file's palette and renumber its pixels: the image looks the same, and every id
is another. The colours tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.files import described, upright
from service.codecs.label_map import used_ids
from service.codecs.png_file import COLOUR_TYPES, GREY, INDEXED, SIGNATURE, PngFile, read_header, read_png
from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits

_ALLOWED = "a PNG with one channel, palette or greyscale without alpha, of at most 8 bits per pixel"
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PngIds:
    """A map of ids from a file.

    Attributes:
        ids: uint8 `[height, width]`.
        palette: The colours of the ids as the file has them, uint8 `[colours, 3]`; None for greys.
    """

    ids: NDArray[np.uint8]
    palette: NDArray[np.uint8] | None


def decode_png(data: bytes, *, field: str, limits: Limits = LIMITS) -> PngIds:
    """Read a map of ids from a palette or grey PNG.

    Args:
        data: The file.
        field: Path of the field it came in, for the message of a failure.
        limits: Bounds of the file's and the image's size.

    Returns:
        Palette indices or grey values as stored, turned as the file's Exif orientation says.

    Raises:
        InvalidArgument: Not a PNG, damaged, too large, or not of one channel of at most 8 bits.
    """
    if len(data) > limits.max_encoded_bytes:
        raise InvalidArgument(field, f"{len(data)} bytes", f"at most {limits.max_encoded_bytes} bytes")
    if not data.startswith(SIGNATURE):
        _refuse(field, described(data), _ALLOWED)
    header = read_header(data, field=field, allowed=_ALLOWED)
    if header.colour_type not in (GREY, INDEXED) or header.depth > _MAX_DEPTH:
        colour = COLOUR_TYPES[header.colour_type]
        _refuse(field, f"a PNG of colour type {colour} with {header.depth} bits per channel", _ALLOWED)
    file = read_png(data, header, field=field, allowed=_ALLOWED, limits=limits)
    stored = None if file.exif else file.stored_values()
    ids = _decoded(file, field) if stored is None else stored
    if header.colour_type != INDEXED:
        return PngIds(ids, None)
    colours = len(file.palette) // 3
    palette = np.frombuffer(file.palette[: colours * 3], np.uint8).reshape(colours, 3)
    return PngIds(ids, palette)


def _decoded(file: PngFile, field: str) -> NDArray[np.uint8]:
    """The values of a file that has filters, passes or an orientation to undo."""
    header = file.header
    # As indices, which Pillow leaves as they are at every depth; its decoder of rows alone takes half the
    # time of its reader of files.
    image = Image.new("P", (header.width, header.height))
    packing = "P" if header.depth == _MAX_DEPTH else f"P;{header.depth}"
    try:
        image.frombytes(file.pixels, "zip", (packing, int(header.interlaced)))
    except (OSError, SyntaxError, ValueError):  # what is left to be wrong: a row's filter type
        _refuse(field, "pixel data that cannot be decoded", "a complete PNG file")
    return np.asarray(upright(image, file.exif), dtype=np.uint8)


def _refuse(field: str, value: str, allowed: str) -> NoReturn:
    raise InvalidArgument(field, value, allowed) from None  # a library's exception would say the same


Colour = tuple[int, int, int]


def ids_by_colour(
    ids: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    id_of_colour: Mapping[Colour, int],
    *,
    field: str,
    kept: Collection[int] = (),
) -> NDArray[np.uint8]:
    """Read a map by its colours where these say that its ids are not the model's.

    That is so when all colours that are used are the model's, and some are under other ids. A file with any
    other colour is read by its ids, whatever its palette looks like.

    Args:
        ids: As the file has them, uint8 `[height, width]`.
        palette: The file's colours, uint8 `[colours, 3]`.
        id_of_colour: The model's.
        field: Path of the field the map came in, for the message of a failure.
        kept: Ids that stand for no class and have no colour, such as what is not drawn in a scribble.

    Returns:
        The model's ids, uint8 `[height, width]`.

    Raises:
        InvalidArgument: What is not drawn seems to have been renumbered, too, so that no colour tells it.
    """
    used = [each for each in used_ids(ids, id_of_colour.values()) if each not in kept]
    if not used or used[-1] >= len(palette):
        return ids
    known: dict[int, int] = {}
    moved = False
    for each, (red, green, blue) in zip(used, palette[used].tolist(), strict=True):
        wanted = id_of_colour.get((red, green, blue))
        if wanted is not None:
            known[each] = wanted
            moved = moved or wanted != each
    unknown = len(used) - len(known)
    if not moved and (unknown != 1 or not known):
        return ids
    if unknown == 1 and kept and not np.isin(ids, list(kept)).any():
        raise InvalidArgument(
            field,
            "a palette with the model's colours under other ids, and one more colour",
            "ids as the model has them, whatever the palette; some programs renumber palettes when they save",
        )
    if unknown:
        return ids
    table = np.arange(256, dtype=np.uint8)
    for each, wanted in known.items():
        table[each] = wanted
    return table[ids]
