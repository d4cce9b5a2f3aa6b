"""Checks requests for edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.synthesis.conditions.types import ImageFile, RawImage
from service.synthesis.registry.models import ConditionKind, ConditionSupport, Model
from service.synthesis.requests import EditRequest, FirstSeed, Latent
from service.synthesis.validation.images import check_quality, check_style_strength, find_model
from service.synthesis.validation.latents import ResolvedLatent, resolve_latents

DEFAULT_BLEND_WIDTH = 4.0
"""In pixels: about what two cells of a proxy mask cover, finer than which no outline is followed."""


@dataclass(frozen=True, slots=True)
class ValidatedEdit:
    """An edit that the models can make, once its bytes are decoded.

    Attributes:
        request: As it was sent.
        model: The model that will make it.
        support: How the model takes label maps.
        served_by: Model of the repository that makes it.
        latent: Of what is edited; None for an image.
        runs: How many images the models make.
        style_strength: Inside the model's range; None for models without.
        blend_width: Width of the soft edge in pixels.
    """

    request: EditRequest
    model: Model
    support: ConditionSupport
    served_by: str
    latent: ResolvedLatent | None
    runs: int
    style_strength: float | None
    blend_width: float


def check_edit(request: EditRequest, registry: Mapping[str, Model], limits: Limits) -> ValidatedEdit:
    """Check all of an edit but its bytes.

    Raises:
        InvalidArgument: A field has a value that is not allowed, or the model cannot be edited.
        NotFound: There is no such model, or not in that version.
    """
    model = find_model(request.model, registry, field="model", version=request.model_version)
    if model.editing is None:
        able = ", ".join(name for name, each in registry.items() if each.editing is not None)
        found = f"{model.name}, of the method {model.method.value}"
        raise InvalidArgument("model", found, f"a model that can be edited: {able or 'none here'}")
    support = model.conditions[ConditionKind.LABEL_MAP]
    served_by, latent = support.served_by, None
    match request.source:
        case ImageFile() | RawImage():
            if model.editing.editor is None:
                allowed = f"a seed or a latent, for {model.name}, which edits no images here"
                raise InvalidArgument("picture", "an image", allowed)
            served_by = model.editing.editor
        case FirstSeed() | Latent():
            (latent,) = resolve_latents(request.source, 1, model, limits=limits)
    check_quality(request.image_format, request.image_quality, limits)
    return ValidatedEdit(
        request=request,
        model=model,
        support=support,
        served_by=served_by,
        latent=latent,
        runs=2 if latent is not None and request.source_label_map is not None else 1,
        style_strength=check_style_strength(request.style_strength, support, model),
        blend_width=_check_blend_width(request.blend_width, limits),
    )


def _check_blend_width(value: float | None, limits: Limits) -> float:
    if value is None:
        return DEFAULT_BLEND_WIDTH
    if not 0.0 <= value <= limits.max_blend_width:  # not a number is neither
        raise InvalidArgument("blend_width", f"{value:g}", f"0 to {limits.max_blend_width:g}")
    return value
