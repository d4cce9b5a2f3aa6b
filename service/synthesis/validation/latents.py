"""Where the latents of images come from: drawn from seeds, or as callers give them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.core.errors import InvalidArgument
from service.core.limits import LIMITS, Limits
from service.synthesis.registry.models import Model
from service.synthesis.requests import FirstSeed, Latent, Latents, LatentSource, Seeds


class _Generator(threading.local):
    """Seeded anew for every latent: making a generator takes 140 us, seeding it takes one."""

    def __init__(self) -> None:
        self.random = np.random.RandomState(0)


_generator = _Generator()


@dataclass(frozen=True, slots=True)
class ResolvedLatent:
    """The latent of one image.

    Attributes:
        seed: The seed it is drawn from, or None for an explicit latent.
        model: Gives the size and the scale.
        given: The values of an explicit latent, float32 `[latent_size]`, already scaled.
    """

    seed: int | None
    model: Model
    given: NDArray[np.float32] | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """float32 `[latent_size]`, already scaled; of a seed drawn anew each time, on the thread that asks.

        NumPy lets go of the interpreter to draw, and has to wait for it then: on a worker and not on the
        event loop.
        """
        if self.seed is not None:
            return latent_from_seed(self.seed, self.model)
        assert self.given is not None
        return self.given


def latent_from_seed(seed: int, model: Model) -> NDArray[np.float32]:
    """Draw the latent of a seed, the same for ever: NumPy has frozen this generator's stream (NEP 19).

    Args:
        seed: 0 to 2^32 - 1.
        model: Gives the size and the scale.

    Returns:
        float32 `[latent_size]`, normally distributed with mean 0 and deviation `latent_scale`.
    """
    normal = normal_from_seed(seed, model.latent_size).astype(np.float32)
    return normal * np.float32(model.latent_scale)


def normal_from_seed(seed: int, size: int) -> NDArray[np.float64]:
    """Draw numbers of the standard normal distribution, float64 `[size]`, the same for ever.

    Args:
        seed: 0 to 2^32 - 1.
        size: How many.
    """
    random = _generator.random
    random.seed(seed)
    return random.standard_normal(size)


def resolve_latents(
    source: LatentSource | None,
    number_of_images: int | None,
    model: Model,
    *,
    limits: Limits = LIMITS,
) -> tuple[ResolvedLatent, ...]:
    """Work out the latent of each image of a request.

    Args:
        source: What the caller gave; None for a random first seed.
        number_of_images: How many images the caller wants, if they said so.
        model: The model that will make them.
        limits: Bounds of the number of images.

    Returns:
        One latent per image, in the order of the reply.

    Raises:
        InvalidArgument: There are too few, too many, or numbers that do not agree, or a latent is
            not one of the model's.
    """
    match source:
        case Seeds(values):
            _check_count(len(values), number_of_images, "seeds.values", limits)
            return tuple(ResolvedLatent(seed, model) for seed in values)
        case Latents(values):
            _check_count(len(values), number_of_images, "latents.latents", limits)
            return tuple(
                ResolvedLatent(None, model, _check_latent(latent, model, f"latents.latents[{i}].values"))
                for i, latent in enumerate(values)
            )
        case Latent(values):
            return (ResolvedLatent(None, model, _check_latent(values, model, "latent.values")),)
        case FirstSeed(first):
            return _count_up(first, number_of_images, model, limits)
        case None:
            return _count_up(secrets.randbelow(limits.max_seed + 1), number_of_images, model, limits)


def _count_up(
    first: int, number_of_images: int | None, model: Model, limits: Limits
) -> tuple[ResolvedLatent, ...]:
    count = 1 if number_of_images is None else number_of_images
    _check_range(count, "number_of_images", limits)
    seeds = range(first, first + count)
    return tuple([ResolvedLatent(seed % (limits.max_seed + 1), model) for seed in seeds])


def _check_count(given: int, wanted: int | None, field: str, limits: Limits) -> None:
    _check_range(given, field, limits)
    if wanted not in (None, given):
        raise InvalidArgument(
            "number_of_images", wanted, f"unset, or {given}, as many as {field} has entries"
        )


def _check_range(count: int, field: str, limits: Limits) -> None:
    if not limits.min_images <= count <= limits.max_images:
        raise InvalidArgument(field, f"{count} images", f"{limits.min_images} to {limits.max_images} images")


def _check_latent(values: Sequence[float], model: Model, field: str) -> NDArray[np.float32]:
    if len(values) != model.latent_size:
        raise InvalidArgument(
            field, f"{len(values)} numbers", f"exactly {model.latent_size}, the model's latent_size"
        )
    latent = np.asarray(values, np.float32)
    finite = np.isfinite(latent)
    if not finite.all():
        position = int(finite.argmin())
        raise InvalidArgument(f"{field}[{position}]", latent[position], "finite numbers")
    return latent
