"""From what callers have at hand to request messages."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from PIL import Image, ImageOps

from maskweave.v1 import synthesis_pb2 as pb

LabelMap = NDArray[Any] | Image.Image | bytes
"""A 2-D array of class ids, an image of mode P, L or 1 (its indices or greys are the ids), or a PNG file.

Images and files are taken as they are shown, turned as their Exif orientation says.
"""

ImageFormat = Literal["png", "jpeg", "webp", "raw"]

Priority = Literal["interactive", "batch"]

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
"""Larger pictures of one channel are worth the time of compressing them."""


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
            with naming(argument, value, allowed):
                setattr(message, field, value)


@contextmanager
def naming(argument: str, value: object, allowed: str) -> Iterator[None]:
    """Say which argument it was: protobuf's own errors tell neither field nor message."""
    try:
        yield
    except (TypeError, ValueError) as error:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else reprlib.repr(value)
        raise type(error)(f"{argument}: got {found}; allowed: {allowed}") from error


def upright(image: Image.Image) -> Image.Image:
    """An image as it is shown, turned as its Exif orientation says; the service does so with files."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises what it pleases for a damaged block, which then says nothing
        return image


def label_map_to_proto(label_map: LabelMap, argument: str = "label_map") -> pb.LabelMap:
    """Encode a label map; `argument` is for messages.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: Its shape, mode or values cannot be class ids.
    """
    ids = ids_of(argument, label_map)
    return pb.LabelMap(png=ids) if isinstance(ids, bytes) else pb.LabelMap(raw=ids)


def ids_of(argument: str, ids: LabelMap) -> pb.RawLabelMap | bytes:
    """Encode a map of ids: bare, or as a PNG file when it is large.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: Its shape, mode or values cannot be ids.
    """
    if isinstance(ids, bytes):
        return ids
    if isinstance(ids, Image.Image):
        if ids.mode not in ("P", "L", "1"):
            raise ValueError(
                f"{argument}: got an image of mode {ids.mode}; allowed: P, L or 1, whose values are ids (for "
                "a picture painted in the palette's colours, see Palette.label_map and Palette.scribble)"
            )
        return _encode(np.asarray(upright(ids), np.uint8))
    if isinstance(ids, np.ndarray):
        if ids.ndim != 2 or ids.dtype.kind not in "uib":
            raise ValueError(f"{argument}: got {ids.dtype} {ids.shape}; allowed: integers [height, width]")
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= 255:
            raise ValueError(f"{argument}: got ids from {ids.min()} to {ids.max()}; allowed: 0 to 255")
        return _encode(ids.astype(np.uint8))
    raise TypeError(
        f"{argument}: got {type(ids).__name__}; allowed: a 2-D array, a PIL image, or the bytes of a PNG"
    )


def png_of(image: Image.Image) -> bytes:
    """Write a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _encode(ids: NDArray[np.uint8]) -> pb.RawLabelMap | bytes:
    height, width = ids.shape
    if ids.size <= MAX_RAW_PIXELS:
        return pb.RawLabelMap(data=ids.tobytes(), width=width, height=height)
    return png_of(Image.fromarray(ids))
