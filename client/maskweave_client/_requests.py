"""From what callers have at hand to request messages."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from operator import index
from typing import Any, Literal

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._files import FILES, File, file_bytes, format_of, upright

LabelMap = NDArray[Any] | Image.Image | File
"""A 2-D array of class ids, an image of mode P, L or 1 (its indices or greys are the ids), or a PNG file:
bytes or path.

Images and files are taken as they are shown, turned as their Exif orientation says.
"""

ImageFormat = Literal["png", "jpeg", "webp", "raw"]
"""How images travel: as files, or as bare pixels."""

Priority = Literal["interactive", "batch"]
"""Whether somebody waits for the images: a busy service makes those first."""

FORMAT_VALUES: dict[ImageFormat, pb.ImageFormat.ValueType] = {
    "png": pb.IMAGE_FORMAT_PNG,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "raw": pb.IMAGE_FORMAT_RAW,
}

PRIORITY_VALUES: dict[Priority, pb.Priority.ValueType] = {
    "interactive": pb.PRIORITY_INTERACTIVE,
    "batch": pb.PRIORITY_BATCH,
}

UINT32 = "an integer from 0 to 4294967295"
SEEDS = "integers from 0 to 4294967295"
_NUMBERS = {
    "seed": ("seed", SEEDS),
    "number_of_images": ("number_of_images", "an integer of 32 bits"),
    "style_strength": ("style_strength", "a number"),
    "blend_width": ("blend_width", "a number"),
    "quality": ("image_quality", "an integer of 32 bits"),
}
"""Field and allowed values by argument, for the arguments that are one number."""

MAX_RAW_PIXELS = 256 * 256
"""Larger images of one channel are worth the time of compressing them."""


def check_choices(image_format: ImageFormat, priority: Priority) -> None:
    """Refuse a format or a priority that is unknown.

    Raises:
        ValueError: One of them is.
    """
    if image_format not in FORMAT_VALUES:
        raise ValueError(f"image_format: got {image_format!r}; allowed: {', '.join(FORMAT_VALUES)}")
    if priority not in PRIORITY_VALUES:
        raise ValueError(f"priority: got {priority!r}; allowed: {', '.join(PRIORITY_VALUES)}")


def set_numbers(message: Message, numbers: Mapping[str, float | None]) -> None:
    """Put the arguments that are one number into a message; those that are None are left out.

    Raises:
        TypeError: Something is not a number.
        ValueError: A number does not fit its field.
    """
    for argument, value in numbers.items():
        if value is not None:
            field, allowed = _NUMBERS[argument]
            set_number(message, field, value, argument, allowed)


def set_number(message: Message, field: str, value: object, argument: str, allowed: str) -> None:
    """Put a number, of Python or of NumPy, into a field of a message.

    Raises:
        TypeError: It is not a number, or not an integer where one is needed.
        ValueError: It does not fit the field.
    """
    with naming(argument, value, allowed):
        kind = message.DESCRIPTOR.fields_by_name[field].type
        setattr(message, field, float_of(value) if kind == FieldDescriptor.TYPE_FLOAT else index(value))  # type: ignore[arg-type]


def latent_to_proto(argument: str, values: NDArray[Any] | Sequence[float]) -> pb.Latent:
    """Encode a latent; `argument` is for messages.

    Raises:
        TypeError: Something is not a number.
    """
    with naming(argument, values, "numbers [latent_size]"):
        return pb.Latent(values=map(float_of, values))


def float_of(value: object) -> float:
    """A number as Python's own.

    Raises:
        TypeError: It is not one.
    """
    if isinstance(value, Real):
        return float(value)
    raise TypeError("not a number")


@contextmanager
def naming(argument: str, value: object, allowed: str) -> Iterator[None]:
    """Say which argument it was: protobuf's own errors tell neither field nor message."""
    try:
        yield
    except (TypeError, ValueError) as error:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else reprlib.repr(value)
        raise type(error)(f"{argument}: got {found}; allowed: {allowed}") from error


def label_map_to_proto(label_map: LabelMap, argument: str = "label_map") -> pb.LabelMap:
    """Encode a label map; `argument` is for messages.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: Its shape, mode or values cannot be class ids.
    """
    ids = ids_of(argument, label_map)
    return pb.LabelMap(png=ids) if isinstance(ids, bytes) else pb.LabelMap(raw=ids)


def ids_of(argument: str, ids: LabelMap, *, colored: bool = True) -> pb.RawLabelMap | bytes:
    """Encode a map of ids: bare, or as a PNG file when it is large or, with `colored`, has a palette.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: Its shape, mode or values cannot be ids, or it is a file that cannot have them.
        OSError: Its file cannot be read.
    """
    if isinstance(ids, FILES):
        return _png_file(argument, ids)
    if isinstance(ids, Image.Image):
        if ids.mode not in ("P", "L", "1"):
            raise ValueError(
                f"{argument}: got an image of mode {ids.mode}; allowed: P, L or 1, whose values are ids (for "
                "an image painted in the palette's colours, see Palette.label_map and Palette.scribble)"
            )
        turned = upright(ids)
        file = _with_palette(turned) if colored else None
        return file or encode_ids(np.asarray(turned, np.uint8))
    if isinstance(ids, np.ndarray):
        if ids.ndim != 2 or ids.dtype.kind not in "uib":
            raise ValueError(f"{argument}: got {ids.dtype} {ids.shape}; allowed: integers [height, width]")
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= 255:
            raise ValueError(f"{argument}: got ids from {ids.min()} to {ids.max()}; allowed: 0 to 255")
        return encode_ids(ids.astype(np.uint8))
    raise TypeError(
        f"{argument}: got {type(ids).__name__}; allowed: a 2-D array, a PIL image, or a PNG file "
        "(bytes or path)"
    )


def encode_ids(ids: NDArray[np.uint8]) -> pb.RawLabelMap | bytes:
    """Encode ids, uint8 `[height, width]`: bare, or as a PNG file when they are many."""
    height, width = ids.shape
    if ids.size <= MAX_RAW_PIXELS:
        return pb.RawLabelMap(data=ids.tobytes(), width=width, height=height)
    return png_of(Image.fromarray(ids))


def png_of(image: Image.Image) -> bytes:
    """Write a PNG file of an image, which is upright already, without what its metadata says."""
    file = io.BytesIO()
    bare = image.copy()
    bare.info = {name: value for name, value in image.info.items() if name == "transparency"}
    bare.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _png_file(argument: str, file: File) -> bytes:
    data = file_bytes(argument, file)
    found = format_of(data)
    if found not in (None, "PNG"):
        raise ValueError(
            f"{argument}: got a {found} file; allowed: PNG with a palette or in greys, whose values are ids "
            "(for an image painted in the palette's colours, see Palette.label_map and Palette.scribble)"
        )
    return data


def _with_palette(image: Image.Image) -> bytes | None:
    """A PNG file of 8 bits with all of an image's palette; None if that does not say the colours of its ids.

    The colours tell whether the ids are the model's: see `_fitting`.
    """
    colors = image.getpalette("RGB") if image.mode == "P" else None
    if not colors or (np.asarray(image) >= len(colors) // 3).any():
        return None
    wide = Image.fromarray(np.asarray(image))
    wide.putpalette(colors + [0] * (768 - len(colors)))  # all 256, or Pillow packs pixels into fewer bits
    if "transparency" in image.info:
        wide.info["transparency"] = image.info["transparency"]
    return png_of(wide)
