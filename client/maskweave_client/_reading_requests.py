"""The message that asks for a label map, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._edit_requests import SOURCES
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    ImageFormat,
    Priority,
    check_choices,
    latent_to_proto,
    set_numbers,
)
from maskweave_client._style_requests import SourceImage, image_to_proto


def read_label_map_request(
    model: str,
    image_or_seed: SourceImage | int | None,
    *,
    latent: NDArray[Any] | Sequence[float] | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
    model_version: str = "",
) -> pb.ReadLabelMapRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The image is of none of the types allowed, or a number is none.
        ValueError: The image has other channels, a number does not fit its field, the format or the priority
            is unknown, or there is not exactly one source.
    """
    if (image_or_seed is None) == (latent is None):
        found = "neither" if latent is None else "both"
        raise ValueError(f"{SOURCES}: got {found}; allowed: exactly one of them")
    check_choices(image_format, priority)
    request = pb.ReadLabelMapRequest(
        model=model,
        label_map_encoding=pb.LABEL_MAP_ENCODING_RAW,
        priority=PRIORITY_VALUES[priority],
        model_version=model_version,
    )
    numbers: dict[str, float | None] = {"quality": quality}
    if latent is not None:
        request.latent.CopyFrom(latent_to_proto("latent", latent))
    elif isinstance(image_or_seed, int | np.integer):
        numbers["seed"] = int(image_or_seed)
    elif image_or_seed is not None:
        request.picture.CopyFrom(image_to_proto("image_or_seed", image_or_seed))
    if request.WhichOneof("source") != "picture":  # whose image is not sent back
        request.image_format = FORMAT_VALUES[image_format]
    set_numbers(request, numbers)
    return request
