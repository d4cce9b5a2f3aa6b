"""The messages of encodings and morphs, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._files import FILES, File, file_bytes, upright
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    UINT32,
    ImageFormat,
    LabelMap,
    Priority,
    check_choices,
    label_map_to_proto,
    latent_to_proto,
    set_number,
    set_numbers,
)
from maskweave_client._styles import Style, styles_to_proto

SourceImage = NDArray[np.uint8] | Image.Image | File
"""RGB, uint8 `[height, width, 3]`, an image without transparency, or a PNG or JPEG file: bytes or path.

Images and files are taken as they are shown, turned as their Exif orientation says.
"""

MorphPath = Literal["linear", "spherical"]
"""The way between two codes: straight, or along the arc between their directions."""

_PATH_VALUES: dict[MorphPath, pb.MorphPath.ValueType] = {
    "linear": pb.MORPH_PATH_LINEAR,
    "spherical": pb.MORPH_PATH_SPHERICAL,
}
OPAQUE_MODES = ("RGB", "L", "P", "1")


def encode_styles_request(
    model: str,
    image: SourceImage,
    label_map: LabelMap,
    *,
    sample_seed: int | None,
    priority: Priority,
    model_version: str = "",
) -> pb.EncodeStylesRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The image or the label map is of none of the types allowed, or a seed is not a number.
        ValueError: The image has other channels, the label map cannot be class ids, the seed does not fit
            its field, or the priority is unknown.
    """
    check_choices("png", priority)
    request = pb.EncodeStylesRequest(
        model=model,
        picture=image_to_proto("image", image),
        label_map=label_map_to_proto(label_map),
        priority=PRIORITY_VALUES[priority],
        model_version=model_version,
    )
    if sample_seed is not None:
        set_number(request, "sample_seed", sample_seed, "sample_seed", UINT32)
    return request


def morph_request(
    model: str,
    label_map: LabelMap,
    from_styles: Mapping[int, Style] | None,
    to_styles: Mapping[int, Style] | None,
    *,
    number_of_frames: int,
    first_position: float,
    last_position: float,
    path: MorphPath,
    seed: int | None,
    latent: NDArray[Any] | Sequence[float] | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
    model_version: str = "",
) -> pb.MorphRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The label map is of none of the types allowed, or something else is no style or number.
        ValueError: The label map cannot be class ids, a number does not fit its field, the path, the format
            or the priority is unknown, or both seed and latent are given.
    """
    check_choices(image_format, priority)
    if path not in _PATH_VALUES:
        raise ValueError(f"path: got {path!r}; allowed: {', '.join(_PATH_VALUES)}")
    if seed is not None and latent is not None:
        raise ValueError("seed, latent: got both; allowed: one of them, or none")
    request = pb.MorphRequest(
        model=model,
        label_map=label_map_to_proto(label_map),
        from_styles=styles_to_proto("from_styles", from_styles),
        to_styles=styles_to_proto("to_styles", to_styles),
        path=_PATH_VALUES[path],
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
        model_version=model_version,
    )
    set_number(request, "number_of_frames", number_of_frames, "number_of_frames", "an integer of 32 bits")
    set_number(request, "first_position", first_position, "first_position", "a number")
    set_number(request, "last_position", last_position, "last_position", "a number")
    if latent is not None:
        request.latent.CopyFrom(latent_to_proto("latent", latent))
    set_numbers(request, {"seed": seed, "quality": quality})
    return request


def image_to_proto(argument: str, image: SourceImage) -> pb.SourcePicture:
    """Encode an image.

    Raises:
        TypeError: It is of none of the types allowed.
        ValueError: It has other channels.
    """
    if isinstance(image, FILES):
        return pb.SourcePicture(file=file_bytes(argument, image))
    if isinstance(image, Image.Image):
        if image.mode not in OPAQUE_MODES or "transparency" in image.info:
            raise ValueError(
                f"{argument}: got an image of mode {image.mode}; allowed: {', '.join(OPAQUE_MODES)}, "
                "without transparency"
            )
        return _raw(np.asarray(upright(image).convert("RGB")))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"{argument}: got {image.dtype} {image.shape}; allowed: uint8 [height, width, 3]"
            )
        return _raw(image)
    raise TypeError(
        f"{argument}: got {type(image).__name__}; allowed: a 3-D array, a PIL image, or a PNG or JPEG file "
        "(bytes or path)"
    )


def _raw(pixels: NDArray[np.uint8]) -> pb.SourcePicture:
    height, width, _ = pixels.shape
    return pb.SourcePicture(raw=pb.RawPicture(data=pixels.tobytes(), width=width, height=height))
