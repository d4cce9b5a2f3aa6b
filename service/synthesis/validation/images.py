"""Checks requests for images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.codecs.image import ImageFormat
from service.core.errors import InvalidArgument, NotFound
from service.core.limits import Limits
from service.engine.base import Priority
from service.synthesis.conditions.types import Condition, kind_of
from service.synthesis.registry.models import ConditionSupport, Model
from service.synthesis.requests import Latents, LatentSource, Seeds, SynthesisRequest
from service.synthesis.styles.types import MorphStyles
from service.synthesis.validation.latents import ResolvedLatent, resolve_latents
from service.synthesis.validation.styles import ValidatedStyles, check_morph, check_styles


@dataclass(frozen=True, slots=True)
class ValidatedRequest:
    """A request that the models can take, once its condition is decoded.

    Attributes:
        model: The model that will make the images.
        support: How the model takes the condition.
        condition: As it was sent.
        latents: One per image.
        style_strength: Inside the model's range; None for models without.
        styles: What styles the images are given; None for models without.
        image_format: File format of the images.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the images.
        images_field: The field that says how many images there are.
    """

    model: Model
    support: ConditionSupport
    condition: Condition
    latents: tuple[ResolvedLatent, ...]
    style_strength: float | None
    styles: ValidatedStyles | None
    image_format: ImageFormat
    image_quality: int | None
    priority: Priority
    images_field: str


def find_model(name: str, registry: Mapping[str, Model], *, field: str, version: str = "") -> Model:
    """The model of a name; `field` is where the request has it, and an empty version stands for the default.

    Raises:
        InvalidArgument: The name is empty.
        NotFound: There is no such model, or not in that version.
    """
    if not name:
        raise InvalidArgument(field, "an empty name", f"the name of a model: {', '.join(registry)}")
    model = registry.get(name)
    if model is None:
        raise NotFound("model", name, registry)
    if version in ("", model.version):
        return model
    if version not in model.other_versions:
        versions = (f"{name} {each.version}" for each in model.all_versions)
        raise NotFound("model version", f"{name} {version}", versions)
    return model.other_versions[version]


def check_request(
    request: SynthesisRequest, registry: Mapping[str, Model], limits: Limits
) -> ValidatedRequest:
    """Check all of a request but its condition's bytes.

    Raises:
        InvalidArgument: A field has a value that is not allowed, or the model does not accept this
            kind of condition.
        NotFound: There is no such model, or not in that version.
    """
    model = find_model(request.model, registry, field="model", version=request.model_version)
    kind = kind_of(request.condition)
    support = model.conditions.get(kind)
    if support is None:
        accepted = ", ".join(model.conditions)
        raise InvalidArgument("condition", kind.value, f"what {model.name} accepts: {accepted}")
    style_strength = check_style_strength(request.style_strength, support, model)
    check_quality(request.image_format, request.image_quality, limits)
    latents: tuple[ResolvedLatent, ...]
    if isinstance(request.styles, MorphStyles):
        styles: ValidatedStyles | None = check_morph(request.styles, model, limits)
        images_field = "number_of_frames"
        latents = resolve_latents(request.latent_source, 1, model, limits=limits) * request.styles.frames
    else:
        styles = check_styles(request.styles, model, limits)
        images_field = _images_field(request.latent_source)
        latents = resolve_latents(request.latent_source, request.number_of_images, model, limits=limits)
    return ValidatedRequest(
        model=model,
        support=support,
        condition=request.condition,
        latents=latents,
        style_strength=style_strength,
        styles=styles,
        image_format=request.image_format,
        image_quality=request.image_quality,
        priority=request.priority,
        images_field=images_field,
    )


def _images_field(source: LatentSource | None) -> str:
    match source:
        case Seeds():
            return "seeds.values"
        case Latents():
            return "latents.latents"
    return "number_of_images"


def check_style_strength(value: float | None, support: ConditionSupport, model: Model) -> float | None:
    """The style strength to use: None for what has none.

    Raises:
        InvalidArgument: It is out of the range, or there is none.
    """
    allowed = support.style_strength
    if allowed is None:
        if value is not None:
            where = f"{model.name} and the condition {support.kind.value}"
            raise InvalidArgument("style_strength", f"{value:g}", f"unset for {where}, which have none")
        return None
    if value is None:
        return allowed.default
    if value not in allowed:
        raise InvalidArgument("style_strength", f"{value:g}", f"{allowed.min:g} to {allowed.max:g}")
    return value


def check_quality(image_format: ImageFormat, quality: int | None, limits: Limits) -> None:
    """Check a quality.

    Raises:
        InvalidArgument: It is out of the range, or the format has none.
    """
    if quality is None:
        return
    if not image_format.lossy:
        lossy = " and ".join(kind.upper() for kind in ImageFormat if kind.lossy)
        raise InvalidArgument(
            "image_quality", quality, f"unset for {image_format.upper()}; only {lossy} have it"
        )
    if not limits.min_quality <= quality <= limits.max_quality:
        raise InvalidArgument("image_quality", quality, f"{limits.min_quality} to {limits.max_quality}")
