"""From what callers have at hand to request messages."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskweave.v1 import synthesis_pb2 as pb

LabelMap = NDArray[Any] | Image.Image | bytes
"""A 2-D array of class ids, an image of mode P, L or 1 (its indices or greys are the ids), or a PNG file."""

ImageFormat = Literal["png", "jpeg", "webp", "raw"]

FORMAT_VALUES: dict[ImageFormat, pb.ImageFormat.ValueType] = {
    "png": pb.IMAGE_FORMAT_PNG,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "raw": pb.IMAGE_FORMAT_RAW,
}

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
) -> pb.SynthesizeRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The label map is of none of the types allowed.
        ValueError: The label map's shape, mode or values cannot be class ids, a number does not fit its
            field, the format is unknown, or more than one of seed, seeds and latents is given.
    """
    if sum(start is not None for start in (seed, seeds, latents)) > 1:
        raise ValueError("seed, seeds, latents: got more than one; allowed: one of them, or none")
    if image_format not in FORMAT_VALUES:
        raise ValueError(f"image_format: got {image_format!r}; allowed: {', '.join(FORMAT_VALUES)}")
    request = pb.SynthesizeRequest(
        model=model,
        label_map=_label_map(label_map),
        seeds=None if seeds is None else pb.SeedList(values=seeds),
        latents=None if latents is None else _latents(latents),
        number_of_images=number_of_images,
        style_strength=style_strength,
        image_format=FORMAT_VALUES[image_format],
        image_quality=quality,
    )
    if seed is not None:
        request.seed = seed
    return request


def _label_map(label_map: LabelMap) -> pb.LabelMap:
    if isinstance(label_map, bytes):
        return pb.LabelMap(png=label_map)
    if isinstance(label_map, Image.Image):
        if label_map.mode not in ("P", "L", "1"):
            raise ValueError(
                f"label_map: got an image of mode {label_map.mode}; allowed: P, L or 1, whose values are "
                "class ids (for a picture painted in the palette's colours, see Palette.label_map)"
            )
        return _encode(np.asarray(label_map, np.uint8))
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


def _latents(latents: NDArray[Any] | Sequence[Sequence[float]]) -> pb.LatentList:
    return pb.LatentList(latents=[pb.Latent(values=values) for values in latents])
