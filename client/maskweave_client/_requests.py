"""From what callers have at hand to request messages."""

from __future__ import annotations

import io
import reprlib
from collections.abc import Iterator, Mapping, Sequence
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
_SEED = "integers from 0 to 4294967295"
_NUMBERS = {
    "seed": ("seed", _SEED),
    "number_of_images": ("number_of_images", "an integer of 32 bits"),
    "style_strength": ("style_strength", "a number"),
    "quality": ("image_quality", "an integer of 32 bits"),
}
"""Field and allowed values by argument, for the arguments that are one number."""

# Larger maps are worth the time of compressing them.
_MAX_RAW_PIXELS = 256 * 256


def synthesize_request(
    model: str,
    label_map: LabelMap,
    *,
    seed: int | None,
    seeds: Sequence[int] | None,
    latents: NDArray[Any] | Sequence[Sequence[float]] | None,
    number_of_images: int | None,
    style_strength: float | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
    styles: Mapping[int, pb.Style] | None = None,
) -> pb.SynthesizeRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The label map is of none of the types allowed, or something else is not a number.
        ValueError: The label map's shape, mode or values cannot be class ids, a number does not fit its
            field, the format or the priority is unknown, or more than one of seed, seeds and latents is
            given.
    """
    if sum(start is not None for start in (seed, seeds, latents)) > 1:
        raise ValueError("seed, seeds, latents: got more than one; allowed: one of them, or none")
    check_choices(image_format, priority)
    request = pb.SynthesizeRequest(
        model=model,
        label_map=label_map_to_proto(label_map),
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
        styles=styles,
    )
    numbers = {
        "seed": seed,
        "number_of_images": number_of_images,
        "style_strength": style_strength,
        "quality": quality,
    }
    set_numbers(request, numbers)
    if seeds is not None:
        with naming("seeds", seeds, f"a sequence of {_SEED}"):
            request.seeds.CopyFrom(pb.SeedList(values=seeds))
    if latents is not None:
        with naming("latents", latents, "numbers [pictures, latent_size]"):
            request.latents.CopyFrom(pb.LatentList(latents=[pb.Latent(values=values) for values in latents]))
    return request


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


def label_map_to_proto(label_map: LabelMap) -> pb.LabelMap:
    """Encode a label map.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: Its shape, mode or values cannot be class ids.
    """
    if isinstance(label_map, bytes):
        return pb.LabelMap(png=label_map)
    if isinstance(label_map, Image.Image):
        if label_map.mode not in ("P", "L", "1"):
            raise ValueError(
                f"label_map: got an image of mode {label_map.mode}; allowed: P, L or 1, whose values are "
                "class ids (for a picture painted in the palette's colours, see Palette.label_map)"
            )
        return _encode(np.asarray(upright(label_map), np.uint8))
    if isinstance(label_map, np.ndarray):
        if label_map.ndim != 2 or label_map.dtype.kind not in "uib":
            raise ValueError(
                f"label_map: got {label_map.dtype} {label_map.shape}; allowed: integers [height, width]"
            )
        if label_map.size and not 0 <= int(label_map.min()) <= int(label_map.max()) <= 255:
            raise ValueError(
                f"label_map: got ids from {label_map.min()} to {label_map.max()}; allowed: 0 to 255"
            )
        return _encode(label_map.astype(np.uint8))
    raise TypeError(
        f"label_map: got {type(label_map).__name__}; allowed: a 2-D array, a PIL image, or the bytes of a PNG"
    )


def _encode(ids: NDArray[np.uint8]) -> pb.LabelMap:
    height, width = ids.shape
    if ids.size <= _MAX_RAW_PIXELS:
        return pb.LabelMap(raw=pb.RawLabelMap(data=ids.tobytes(), width=width, height=height))
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG")
    return pb.LabelMap(png=file.getvalue())
