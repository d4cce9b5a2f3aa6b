"""Finds the models a service offers in what its engine says about the repository.

A model whose config has the parameter `maskweave.pack` serves one kind of condition for that pack, as an
ensemble of stages or as one fused graph; everything callers are told about the pack stands in its parameters
and its tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, Json, ValidationError

from service.core.errors import RepositoryError, RepositoryProblem
from service.engine.base import ANY_SIZE, ModelInfo, TensorSpec
from service.synthesis import tensors
from service.synthesis.models import (
    ConditionKind,
    ConditionSupport,
    Layout,
    Model,
    PaletteClass,
    StyleStrengthRange,
)

_PREFIX = "maskweave."
_PACK = _PREFIX + "pack"
_RGB = 3


def build_catalogue(models: Mapping[str, ModelInfo], layout: Layout | None = None) -> Mapping[str, Model]:
    """List what the engine's models offer to callers.

    Args:
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.

    Returns:
        The models by the names callers use, ordered by name.

    Raises:
        RepositoryError: A model's parameters or tensors are not what this service understands, a pack lacks
            the layout, or no model offers a pack; names every problem found.
    """
    problems: list[RepositoryProblem] = []
    offers: list[Model] = []
    for info in models.values():
        if _PACK in info.parameters:
            try:
                offers.append(_read_offer(info))
            except _OfferError as error:
                problems += error.problems(info.name)
    if not offers and not problems:
        allowed = "at least one model with this parameter"
        problems.append(RepositoryProblem("*/config.pbtxt", f'parameters["{_PACK}"]', "missing", allowed))
    catalogue: dict[str, Model] = {}
    for offer in offers if problems else _of_layout(offers, layout, problems):
        try:
            catalogue[offer.name] = _merge(catalogue[offer.name], offer) if offer.name in catalogue else offer
        except _OfferError as error:
            problems += error.problems(_support(offer).served_by)
    if problems:
        raise RepositoryError(problems)
    return MappingProxyType(dict(sorted(catalogue.items())))


class _OfferError(Exception):
    """Fields of one config that are at fault: (field, problem, allowed)."""

    def __init__(self, faults: Iterable[tuple[str, str, str]]) -> None:
        self.faults = tuple(faults)

    def problems(self, model: str) -> list[RepositoryProblem]:
        return [RepositoryProblem(f"{model}/config.pbtxt", *fault) for fault in self.faults]


def _ordered_and_unique(palette: tuple[PaletteClass, ...]) -> tuple[PaletteClass, ...]:
    if not palette:
        raise ValueError("at least one class is needed")
    for attribute in ("id", "name", "color"):
        if len({getattr(entry, attribute) for entry in palette}) != len(palette):
            raise ValueError(f"each {attribute} may occur once")
    return tuple(sorted(palette, key=lambda entry: entry.id))


class _Parameters(BaseModel):
    """The model's parameters without their prefix."""

    model_config = ConfigDict(frozen=True)

    pack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    condition: ConditionKind
    title: Annotated[str, Field(min_length=1)]
    description: str
    palette: Json[Annotated[tuple[PaletteClass, ...], AfterValidator(_ordered_and_unique)]]
    latent_scale: Annotated[FiniteFloat, Field(gt=0)]
    style_strength: Json[StyleStrengthRange]
    model_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$")]


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The model's sizes, read from its tensors."""

    condition: tuple[int, int]
    latent: int
    image: tuple[int, int]


def _read_offer(info: ModelInfo) -> Model:
    parameters = _read_parameters(info)
    sizes = _read_tensors(info)
    support = ConditionSupport(
        served_by=info.name,
        layout=Layout.ENSEMBLE if info.steps else Layout.FUSED,
        height=sizes.condition[0],
        width=sizes.condition[1],
        style_strength=parameters.style_strength,
    )
    return Model(
        name=parameters.pack,
        title=parameters.title,
        description=parameters.description,
        version=parameters.model_version,
        palette=parameters.palette,
        conditions=MappingProxyType({parameters.condition: support}),
        image_height=sizes.image[0],
        image_width=sizes.image[1],
        latent_size=sizes.latent,
        latent_scale=parameters.latent_scale,
    )


def _read_parameters(info: ModelInfo) -> _Parameters:
    ours = {
        key.removeprefix(_PREFIX): value for key, value in info.parameters.items() if key.startswith(_PREFIX)
    }
    try:
        return _Parameters.model_validate(ours)
    except ValidationError as error:
        raise _OfferError(
            (
                f'parameters["{_PREFIX}{fault["loc"][0]}"]' + "".join(f"[{key}]" for key in fault["loc"][1:]),
                "missing" if fault["type"] == "missing" else f"got {fault['input']!r}",
                fault["msg"],
            )
            for fault in error.errors(include_url=False, include_context=False)
        ) from error


def _read_tensors(info: ModelInfo) -> _Tensors:
    faults: list[tuple[str, str, str]] = []

    def shape_of(
        specs: Iterable[TensorSpec], kind: str, name: str, dtype: type, dims: str
    ) -> tuple[int, ...]:
        allowed = f"{np.dtype(dtype).name}, dims {dims}, all fixed"
        spec = next((spec for spec in specs if spec.name == name), None)
        if spec is None:
            faults.append((f"{kind}[{name}]", "missing", allowed))
            return ()
        wanted = dims.strip("[]").split(", ")
        fits = len(spec.shape) == len(wanted) and all(
            size != ANY_SIZE and (not want.isdecimal() or size == int(want))
            for size, want in zip(spec.shape, wanted, strict=True)
        )
        if spec.dtype != dtype or not fits:
            faults.append((f"{kind}[{name}]", f"got {spec.dtype.name}, dims {list(spec.shape)}", allowed))
            return ()
        return spec.shape

    condition = shape_of(info.inputs, "input", tensors.LABEL_MAP, np.uint8, "[height, width]")
    latent = shape_of(info.inputs, "input", tensors.LATENT, np.float32, "[latent_size]")
    shape_of(info.inputs, "input", tensors.STYLE_STRENGTH, np.float32, "[1]")
    image = shape_of(info.outputs, "output", tensors.IMAGE, np.uint8, f"[height, width, {_RGB}]")
    if info.max_batch_size < 1:
        faults.append(("max_batch_size", f"got {info.max_batch_size}", "at least 1"))
    if faults:
        raise _OfferError(faults)
    return _Tensors((condition[0], condition[1]), latent[0], (image[0], image[1]))


def _of_layout(
    offers: Iterable[Model], layout: Layout | None, problems: list[RepositoryProblem]
) -> list[Model]:
    """Of each pack and condition, the offers of the layout wanted."""
    groups: dict[tuple[str, ConditionKind], list[Model]] = {}
    for offer in offers:
        (kind,) = offer.conditions
        groups.setdefault((offer.name, kind), []).append(offer)
    chosen = []
    for (pack, kind), group in groups.items():
        present = {_support(offer).layout for offer in group}
        wanted = layout or (Layout.ENSEMBLE if Layout.ENSEMBLE in present else Layout.FUSED)
        chosen += [offer for offer in group if _support(offer).layout is wanted]
        if wanted not in present:
            served_by = _support(group[0]).served_by
            problems.append(
                RepositoryProblem(
                    f"{served_by}/config.pbtxt",
                    "",
                    f"the setting layout asks for {wanted.value!r}, which {pack} has not for {kind.value!r}",
                    f"{', '.join(sorted(present))}, or `maskweave export repository --layout {wanted.value}`",
                )
            )
    return chosen


def _support(offer: Model) -> ConditionSupport:
    """The one condition that an offer is for."""
    (support,) = offer.conditions.values()
    return support


def _merge(known: Model, more: Model) -> Model:
    """Add the kind of condition that another model of the same pack serves."""
    ((kind, support),) = more.conditions.items()
    if kind in known.conditions:
        raise _OfferError(
            [
                (
                    f'parameters["{_PREFIX}condition"]',
                    f"got {kind.value!r}, which {known.conditions[kind].served_by} serves already",
                    "one model per pack, condition and layout",
                )
            ]
        )
    if replace(more, conditions=known.conditions) != known:
        other = next(iter(known.conditions.values())).served_by
        raise _OfferError(
            [(f'parameters["{_PREFIX}*"]', f"differ from those of {other}", "the same in all of a pack")]
        )
    return replace(known, conditions=MappingProxyType({**known.conditions, kind: support}))
