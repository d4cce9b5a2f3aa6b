"""The request of a synthesis, from what callers have at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

from numpy.typing import NDArray

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._conditions import Conditions, condition_fields
from maskweave_client._requests import (
    FORMAT_VALUES,
    PRIORITY_VALUES,
    SEEDS,
    ImageFormat,
    Priority,
    check_choices,
    float_of,
    naming,
    set_numbers,
)


def synthesize_request(
    model: str,
    conditions: Conditions,
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
    model_version: str = "",
) -> pb.SynthesizeRequest:
    """Build a request; the service checks its values.

    Raises:
        TypeError: The condition is of none of the types allowed, or something else is not a number.
        ValueError: There is not exactly one condition, its shape, mode or values cannot be what it is meant
            to be, a number does not fit its field, the format or the priority is unknown, or more than one
            of seed, seeds and latents is given.
    """
    if sum(start is not None for start in (seed, seeds, latents)) > 1:
        raise ValueError("seed, seeds, latents: got more than one; allowed: one of them, or none")
    check_choices(image_format, priority)
    request = pb.SynthesizeRequest(
        model=model,
        **condition_fields(conditions),
        image_format=FORMAT_VALUES[image_format],
        priority=PRIORITY_VALUES[priority],
        styles=styles,
        model_version=model_version,
    )
    numbers = {
        "seed": seed,
        "number_of_images": number_of_images,
        "style_strength": style_strength,
        "quality": quality,
    }
    set_numbers(request, numbers)
    if seeds is not None:
        with naming("seeds", seeds, f"a sequence of {SEEDS}"):
            request.seeds.CopyFrom(pb.SeedList(values=map(index, seeds)))
    if latents is not None:
        with naming("latents", latents, "numbers [images, latent_size]"):
            rows = [pb.Latent(values=map(float_of, values)) for values in latents]
            request.latents.CopyFrom(pb.LatentList(latents=rows))
    return request
