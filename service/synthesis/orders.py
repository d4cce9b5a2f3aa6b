"""From a request to an order: everything checked that can be checked without decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.codecs.picture import ImageFormat
from service.core.errors import InvalidArgument, NotFound
from service.core.limits import Limits
from service.engine.base import Priority
from service.synthesis.models import ConditionSupport, Model
from service.synthesis.request import Condition, SynthesisRequest, kind_of
from service.synthesis.starts import Start, resolve_starts
from service.synthesis.style_orders import StyleOrder, check_morph, check_styles
from service.synthesis.style_requests import MorphStyles


@dataclass(frozen=True, slots=True)
class Order:
    """A request that the models can take, once its condition is decoded.

    Attributes:
        model: The model that will make the pictures.
        support: How the model takes the condition.
        condition: As it was sent.
        starts: One per picture.
        style_strength: Inside the model's range; None for models without.
        styles: What styles the pictures are given; None for models without.
        image_format: File format of the pictures.
        image_quality: Quality for lossy formats; None for the default.
        priority: Whether somebody waits for the pictures.
    """

    model: Model
    support: ConditionSupport
    condition: Condition
    starts: tuple[Start, ...]
    style_strength: float | None
    styles: StyleOrder | None
    image_format: ImageFormat
    image_quality: int | None
    priority: Priority


def find_model(name: str, catalogue: Mapping[str, Model], *, field: str) -> Model:
    """The model of a name; `field` is where the request has it.

    Raises:
        InvalidArgument: The name is empty.
        NotFound: There is no such model.
    """
    if not name:
        raise InvalidArgument(field, "an empty name", f"the name of a model: {', '.join(catalogue)}")
    try:
        return catalogue[name]
    except KeyError:
        raise NotFound("model", name, catalogue) from None


def check_request(request: SynthesisRequest, catalogue: Mapping[str, Model], limits: Limits) -> Order:
    """Check all of a request but its condition's bytes.

    Raises:
        InvalidArgument: A field has a value that is not allowed, or the model does not accept this
            kind of condition.
        NotFound: There is no such model.
    """
    model = find_model(request.model, catalogue, field="model")
    kind = kind_of(request.condition)
    support = model.conditions.get(kind)
    if support is None:
        accepted = ", ".join(model.conditions)
        raise InvalidArgument("condition", kind.value, f"what {model.name} accepts: {accepted}")
    style_strength = check_style_strength(request.style_strength, support, model)
    check_quality(request.image_format, request.image_quality, limits)
    starts: tuple[Start, ...]
    if isinstance(request.styles, MorphStyles):
        styles: StyleOrder | None = check_morph(request.styles, model, limits)
        starts = resolve_starts(request.start, 1, model, limits=limits) * request.styles.frames
    else:
        styles = check_styles(request.styles, model, limits)
        starts = resolve_starts(request.start, request.number_of_images, model, limits=limits)
    return Order(
        model=model,
        support=support,
        condition=request.condition,
        starts=starts,
        style_strength=style_strength,
        styles=styles,
        image_format=request.image_format,
        image_quality=request.image_quality,
        priority=request.priority,
    )


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
