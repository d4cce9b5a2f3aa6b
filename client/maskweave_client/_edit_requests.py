"""The message of an edit, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    ImageFormat,
    LabelMap,
    Priority,
    check_choices,
    label_map_to_proto,
    latent_to_proto,
    set_numbers,
)
from maskweave_client._style_requests import SourceImage, image_to_proto

SOURCES = "image_or_seed, latent"


def edit_request(
    model: str,
    image_or_seed: SourceImage | int | None,
    target: LabelMap,
    *,
    source: LabelMap | None,
    latent: NDArray[Any] | Sequence[float] | None,
    style_strength: float | None,
    blend_width: float | None,
    image_format: ImageFormat,
    quality: int | None,
    priority: Priority,
    model_version: str = "",
) -> pb.EditRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The image or a label map is of none of the types allowed, or a number is none.
        ValueError: The image has other channels, a label map cannot be class ids, a number does not fit its
            field, the format or the priority is unknown, or there is not exactly one source.
    """
    if (image_or_seed is None) == (latent is None):
        found = "neither" if latent is None else "both"
        raise ValueError(f"{SOURCES}: got {found}; allowed: exactly one of them")
    check_choices(image_format, priority)
    request = pb.EditRequest(
        model=model,
        target_label_map=label_map_to_proto(target, "target"),
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
        model_version=model_version,
    )
    if source is not None:
        request.source_label_map.CopyFrom(label_map_to_proto(source, "source"))
    numbers = {"style_strength": style_strength, "blend_width": blend_width, "quality": quality}
    if latent is not None:
        request.latent.CopyFrom(latent_to_proto("latent", latent))
    elif isinstance(image_or_seed, int | np.integer):
        numbers["seed"] = int(image_or_seed)
    elif image_or_seed is not None:
        request.picture.CopyFrom(image_to_proto("image_or_seed", image_or_seed))
    set_numbers(request, numbers)
    return request
