"""From the styles of a request to what they are made of: everything checked that needs no model to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.codecs.label_map import listed
from service.core.errors import InvalidArgument
from service.core.limits import Limits
from service.synthesis.registry.models import Model, StyleSupport
from service.synthesis.styles.types import (
    MorphStyles,
    Style,
    StyleBlend,
    StyleCode,
    Styles,
    StyleSeed,
    WeightedStyle,
)

_SEED_BYTES = 32

Ingredient = tuple[float, bytes | int]
"""Weight, and the numbers of a code (float32) or a seed."""

Recipe = tuple[Ingredient, ...]
"""The sum that a style is. Styles that are given the same have the same recipe."""


@dataclass(frozen=True, slots=True)
class GivenStyles:
    """The styles that a request gives.

    Attributes:
        field: Path of the field that has them.
        class_ids: The classes under which they are given.
        recipes: By the index of the style.
    """

    field: str
    class_ids: tuple[int, ...]
    recipes: Mapping[int, Recipe]


@dataclass(frozen=True, slots=True)
class ValidatedStyles:
    """The styles of all images of a request.

    Attributes:
        ends: The styles of every image; or those at position 0 and those at position 1.
        positions: One for each image between two ends; none when there is only one.
        spherical: Which way there is between two ends.
    """

    ends: tuple[GivenStyles, ...]
    positions: tuple[float, ...] = ()
    spherical: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds in it, in ascending order."""
        return tuple(sorted({seed for end in self.ends for seed in _seeds(end)}))

    @property
    def nbytes(self) -> int:
        """About what they hold in memory."""
        sources = (source for end in self.ends for recipe in end.recipes.values() for _, source in recipe)
        return sum(len(source) if isinstance(source, bytes) else _SEED_BYTES for source in sources)


def style_support(model: Model) -> StyleSupport:
    """The styles of a model.

    Raises:
        InvalidArgument: It has none.
    """
    if model.styles is None:
        raise InvalidArgument(
            "model",
            f"{model.name}, of the method {model.method.value}",
            "a model with styles; see ListModels",
        )
    return model.styles


def check_styles(styles: Styles, model: Model, limits: Limits) -> ValidatedStyles | None:
    """Check the styles of a request for images; None for models without.

    Raises:
        InvalidArgument: A style is not allowed, or the model has none.
    """
    if model.styles is None:
        if styles:
            raise InvalidArgument(
                "styles", f"{len(styles)} classes", f"none for {model.name}, which has no styles"
            )
        return None
    order = ValidatedStyles((_check_end(styles, model, model.styles, "styles", limits),))
    _check_seeds(order, "styles", limits)
    return order


def check_morph(morph: MorphStyles, model: Model, limits: Limits) -> ValidatedStyles:
    """Check a morph's styles and positions.

    Raises:
        InvalidArgument: Something of it is not allowed, or the model has no styles.
    """
    support = style_support(model)
    if not 1 <= morph.frames <= limits.max_morph_frames:
        raise InvalidArgument("number_of_frames", morph.frames, f"1 to {limits.max_morph_frames}")
    bound = limits.max_morph_position
    for field, position in (("first_position", morph.first), ("last_position", morph.last)):
        if not abs(position) <= bound:
            raise InvalidArgument(field, f"{position:g}", f"{-bound:g} to {bound:g}")
    ends = (
        _check_end(morph.from_styles, model, support, "from_styles", limits),
        _check_end(morph.to_styles, model, support, "to_styles", limits),
    )
    if not any(end.recipes for end in ends):
        raise InvalidArgument(
            "from_styles", "no class, neither here nor in to_styles", "at least one class in one of them"
        )
    order = ValidatedStyles(ends, _positions(morph), morph.spherical)
    _check_seeds(order, "to_styles" if _seeds(ends[1]) else "from_styles", limits)
    return order


def _positions(morph: MorphStyles) -> tuple[float, ...]:
    steps = max(morph.frames - 1, 1)
    inner = [morph.first + index / steps * (morph.last - morph.first) for index in range(1, steps)]
    return (morph.first, *inner, morph.last)[: morph.frames]


def check_present(given: GivenStyles, label_map: NDArray[np.uint8], support: StyleSupport) -> None:
    """Check that the label map has each style that is given.

    Args:
        given: The styles.
        label_map: Class ids, as they were sent.
        support: The model's styles.

    Raises:
        InvalidArgument: No pixel has a class of one of the styles.
    """
    present = np.unique(label_map).tolist()
    styles = {support.style_of_class[class_id] for class_id in present}
    for class_id in given.class_ids:
        if support.style_of_class[class_id] not in styles:
            allowed = f"classes whose style the label map has: {listed(_of(styles, support))}"
            raise InvalidArgument(f"{given.field}[{class_id}]", f"class id {class_id}", allowed)


def _of(styles: set[int], support: StyleSupport) -> list[int]:
    return [class_id for class_id, style in support.style_of_class.items() if style in styles]


def _check_end(
    styles: Styles, model: Model, support: StyleSupport, field: str, limits: Limits
) -> GivenStyles:
    if len(styles) > len(model.class_ids):
        allowed = f"at most {len(model.class_ids)}, the classes of {model.name}"
        raise InvalidArgument(field, f"{len(styles)} classes", allowed)
    recipes: dict[int, Recipe] = {}
    given_by: dict[int, int] = {}
    for class_id in sorted(styles):
        place = f"{field}[{class_id}]"
        if class_id not in support.style_of_class:
            raise InvalidArgument(place, f"class id {class_id}", f"class ids {listed(model.class_ids)}")
        index = support.style_of_class[class_id]
        recipe = _Checker(model, support, index, limits).recipe(styles[class_id], place)
        if recipes.setdefault(index, recipe) != recipe:
            allowed = f"the same as for class {given_by[index]}, with which class {class_id} shares its style"
            raise InvalidArgument(place, "another style", allowed)
        given_by.setdefault(index, class_id)
    return GivenStyles(field, tuple(sorted(styles)), recipes)


class _Checker:
    """Checks what one style of a model is given."""

    def __init__(self, model: Model, support: StyleSupport, index: int, limits: Limits) -> None:
        self._model = model
        self._support = support
        self._index = index
        self._limits = limits

    def recipe(self, style: Style | None, field: str) -> Recipe:
        match style:
            case StyleBlend(parts):
                return self._blend(parts, f"{field}.blend.styles")
            case None:
                raise InvalidArgument(field, "no style", "one of code, seed, blend")
        return ((1.0, self._source(style, field)),)

    def _blend(self, parts: Sequence[WeightedStyle], field: str) -> Recipe:
        most, bound = self._limits.max_blend_styles, self._limits.max_style_weight
        if not 1 <= len(parts) <= most:
            raise InvalidArgument(field, f"{len(parts)} styles", f"1 to {most} styles")
        recipe = []
        for number in range(len(parts)):
            part, place = parts[number], f"{field}[{number}]"
            if not abs(part.weight) <= bound:
                raise InvalidArgument(f"{place}.weight", f"{part.weight:g}", f"{-bound:g} to {bound:g}")
            recipe.append((part.weight, self._source(part.style, place)))
        return tuple(recipe)

    def _source(self, style: StyleCode | StyleSeed | None, field: str) -> bytes | int:
        match style:
            case StyleCode():
                return self._code(style, f"{field}.code")
            case StyleSeed(seed):
                return seed
        raise InvalidArgument(field, "no style", "one of code, seed")

    def _code(self, code: StyleCode, field: str) -> bytes:
        model, version = self._model.name, self._model.version
        if code.model != model:
            raise InvalidArgument(f"{field}.model", repr(code.model), f"{model!r}, the model of the request")
        if code.model_version != version:
            allowed = f"{version!r}, the version that is served; encode the image again"
            raise InvalidArgument(f"{field}.model_version", repr(code.model_version), allowed)
        classes = self._support.classes[self._index]
        if code.class_id not in classes:
            allowed = f"a code of a class of the same style: {listed(classes)}"
            raise InvalidArgument(f"{field}.class_id", code.class_id, allowed)
        size, bound = self._support.size, self._limits.max_style_value
        if len(code.values) != size:
            allowed = f"exactly {size}, the model's style_size"
            raise InvalidArgument(f"{field}.values", f"{len(code.values)} numbers", allowed)
        values = np.asarray(code.values, np.float32)
        good = np.abs(values) <= bound  # false for what is not a number
        if not good.all():
            number = int(good.argmin())
            allowed = f"{-bound:g} to {bound:g}"
            raise InvalidArgument(f"{field}.values[{number}]", f"{values[number]:g}", allowed)
        return (values + np.float32(0)).tobytes()  # without negative zeros, which compare equal


def _seeds(given: GivenStyles) -> set[int]:
    sources = (source for recipe in given.recipes.values() for _, source in recipe)
    return {source for source in sources if isinstance(source, int)}


def _check_seeds(order: ValidatedStyles, field: str, limits: Limits) -> None:
    count = len(order.seeds)
    if count > limits.max_style_seeds:
        raise InvalidArgument(
            field, f"{count} different seeds in all styles", f"at most {limits.max_style_seeds}"
        )
