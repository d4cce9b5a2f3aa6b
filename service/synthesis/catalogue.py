"""Finds the models a service offers in what its engine says about the repository.

A model whose config has the parameter `maskweave.pack` serves one kind of condition for that pack, as an
ensemble of stages or as one fused graph; everything callers are told about the pack stands in its parameters
and its tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from service.core.errors import RepositoryError, RepositoryProblem
from service.engine.base import ModelInfo
from service.synthesis.edit_offers import with_editing
from service.synthesis.faults import Fault, OfferError
from service.synthesis.models import ConditionKind, ConditionSupport, Layout, Model
from service.synthesis.offers import PREFIX, read_offer

_PACK = PREFIX + "pack"


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
                offers.append(read_offer(info, models))
            except OfferError as error:
                problems += error.problems(info.name)
    if not offers and not problems:
        allowed = "at least one model with this parameter"
        problems.append(RepositoryProblem("*/config.pbtxt", f'parameters["{_PACK}"]', "missing", allowed))
    catalogue: dict[str, Model] = {}
    for offer in offers if problems else _of_layout(offers, layout, problems):
        try:
            catalogue[offer.name] = _merge(catalogue[offer.name], offer) if offer.name in catalogue else offer
        except OfferError as error:
            problems += error.problems(_support(offer).served_by)
    if not problems:
        catalogue = with_editing(catalogue, models, layout, problems)
    if problems:
        raise RepositoryError(problems)
    return MappingProxyType(dict(sorted(catalogue.items())))


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
        raise OfferError(
            [
                Fault(
                    f'parameters["{PREFIX}condition"]',
                    f"got {kind.value!r}, which {known.conditions[kind].served_by} serves already",
                    "one model per pack, condition and layout",
                )
            ]
        )
    if replace(more, conditions=known.conditions) != known:
        other = next(iter(known.conditions.values())).served_by
        raise OfferError(
            [Fault(f'parameters["{PREFIX}*"]', f"differ from those of {other}", "the same in all of a pack")]
        )
    both = {**known.conditions, kind: support}
    ordered = {each: both[each] for each in ConditionKind if each in both}
    return replace(known, conditions=MappingProxyType(ordered))
