"""Checks requests for label maps that are read off images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.codecs.image import ImageFormat
from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.synthesis.conditions.types import ImageFile, RawImage
from service.synthesis.registry.models import Model
from service.synthesis.requests import FirstSeed, ReadLabelMapRequest
from service.synthesis.validation.images import check_quality, find_model
from service.synthesis.validation.latents import ResolvedLatent, resolve_latents


@dataclass(frozen=True, slots=True)
class ValidatedReading:
    """A label map that can be read, once its image is decoded.

    Attributes:
        request: As it was sent.
        model: The model whose label map it will be.
        served_by: Model of the repository that reads it.
        latent: Of the image that it is read off; None for an image of the caller's.
        image_format: File format of the image of a latent.
    """

    request: ReadLabelMapRequest
    model: Model
    served_by: str
    latent: ResolvedLatent | None
    image_format: ImageFormat = ImageFormat.PNG


def check_reading(
    request: ReadLabelMapRequest, registry: Mapping[str, Model], limits: Limits
) -> ValidatedReading:
    """Check all of a request but its bytes.

    Raises:
        InvalidArgument: A field has a value that is not allowed, or the model reads no label maps, or
            none off what was sent.
        NotFound: There is no such model, or not in that version.
    """
    model = find_model(request.model, registry, field="model", version=request.model_version)
    if model.reading is None:
        able = ", ".join(
            f"{each.name} {each.version}"
            for default in registry.values()
            for each in default.all_versions
            if each.reading is not None
        )
        found = f"{model.name} {model.version}, which reads no label maps here"
        raise InvalidArgument("model", found, f"a model that reads label maps: {able or 'none here'}")
    match request.source:
        case ImageFile() | RawImage():
            if model.reading.of_images is None:
                allowed = f"a seed or a latent, for {model.name}, which reads none off images here"
                raise InvalidArgument("picture", "an image", allowed)
            _check_no_image(request)
            return ValidatedReading(request, model, model.reading.of_images, None)
        case source:
            if model.reading.of_latents is None:
                allowed = f"a picture, for {model.name}, which makes no image here without a label map"
                field = "seed" if isinstance(source, FirstSeed) else "latent"
                raise InvalidArgument(field, f"a {field}", allowed)
            (latent,) = resolve_latents(source, 1, model, limits=limits)
            image_format = request.image_format or ImageFormat.PNG
            check_quality(image_format, request.image_quality, limits)
            return ValidatedReading(request, model, model.reading.of_latents, latent, image_format)


def _check_no_image(request: ReadLabelMapRequest) -> None:
    """Refuse what says how an image is to be sent that is not sent back."""
    allowed = "unset with a picture, which is not sent back"
    if request.image_format is not None:
        raise InvalidArgument("image_format", request.image_format.upper(), allowed)
    if request.image_quality is not None:
        raise InvalidArgument("image_quality", request.image_quality, allowed)
