"""The model registry: what a service offers, found in what its engine says about the repository.

A model whose config has the parameter `maskweave.pack` serves one kind of condition for that pack, as an
ensemble of stages or as one fused graph. Everything callers are told about the pack is in its parameters and
its tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from service.core.diagnostics import RepositoryError, RepositoryProblem
from service.engine.base import ModelInfo
from service.synthesis.registry import tensors
from service.synthesis.registry.metadata import PREFIX, read_metadata
from service.synthesis.registry.models import (
    ConditionKind,
    ConditionSupport,
    EditSupport,
    Layout,
    Method,
    Model,
)
from service.synthesis.registry.tensors import Diagnostic, MetadataError, Shapes

_PACK = PREFIX + "pack"


def build_registry(models: Mapping[str, ModelInfo], layout: Layout | None = None) -> Mapping[str, Model]:
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
    described: list[Model] = []
    for info in models.values():
        if _PACK in info.parameters:
            try:
                described.append(read_metadata(info, models))
            except MetadataError as error:
                problems += error.problems(info.name)
    if not described and not problems:
        allowed = "at least one model with this parameter"
        problems.append(RepositoryProblem("*/config.pbtxt", f'parameters["{_PACK}"]', "missing", allowed))
    registry: dict[str, Model] = {}
    for model in described if problems else _of_layout(described, layout, problems):
        try:
            registry[model.name] = _merge(registry[model.name], model) if model.name in registry else model
        except MetadataError as error:
            problems += error.problems(_support(model).served_by)
    if not problems:
        registry = with_edit_support(registry, models, layout, problems)
    if problems:
        raise RepositoryError(problems)
    return MappingProxyType(dict(sorted(registry.items())))


def _of_layout(
    described: Iterable[Model], layout: Layout | None, problems: list[RepositoryProblem]
) -> list[Model]:
    """Of each pack and condition, the models of the layout wanted."""
    groups: dict[tuple[str, ConditionKind], list[Model]] = {}
    for model in described:
        (kind,) = model.conditions
        groups.setdefault((model.name, kind), []).append(model)
    chosen = []
    for (pack, kind), group in groups.items():
        present = {_support(model).layout for model in group}
        wanted = layout or (Layout.ENSEMBLE if Layout.ENSEMBLE in present else Layout.FUSED)
        chosen += [model for model in group if _support(model).layout is wanted]
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


def _support(model: Model) -> ConditionSupport:
    """The one condition that a model is for, before models are merged."""
    (support,) = model.conditions.values()
    return support


def _merge(known: Model, more: Model) -> Model:
    """Add the kind of condition that another model of the same pack serves."""
    ((kind, support),) = more.conditions.items()
    if kind in known.conditions:
        raise MetadataError(
            [
                Diagnostic(
                    f'parameters["{PREFIX}condition"]',
                    f"got {kind.value!r}, which {known.conditions[kind].served_by} serves already",
                    "one model per pack, condition and layout",
                )
            ]
        )
    if replace(more, conditions=known.conditions) != known:
        other = next(iter(known.conditions.values())).served_by
        raise MetadataError(
            [
                Diagnostic(
                    f'parameters["{PREFIX}*"]', f"differ from those of {other}", "the same in all of a pack"
                )
            ]
        )
    both = {**known.conditions, kind: support}
    ordered = {each: both[each] for each in ConditionKind if each in both}
    return replace(known, conditions=MappingProxyType(ordered))


EDITS = PREFIX + "edits"


def with_edit_support(
    registry: Mapping[str, Model],
    models: Mapping[str, ModelInfo],
    layout: Layout | None,
    problems: list[RepositoryProblem],
) -> dict[str, Model]:
    """Say of each model whether it can be edited, and by what.

    Args:
        registry: The models on offer, by name.
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.
        problems: What is wrong with those that edit images is added here.
    """
    editors: dict[str, dict[Layout, str]] = {}
    for info in models.values():
        if EDITS in info.parameters:
            try:
                of_pack = editors.setdefault(_checked(info, registry), {})
                _add(of_pack, info)
            except MetadataError as error:
                problems += error.problems(info.name)
    return {
        name: replace(model, editing=EditSupport(_chosen(editors.get(name, {}), layout)))
        if _can_be_edited(model)
        else model
        for name, model in registry.items()
    }


def _chosen(editors: Mapping[Layout, str], layout: Layout | None) -> str | None:
    if layout is not None:
        return editors.get(layout)
    return editors.get(Layout.ENSEMBLE, editors.get(Layout.FUSED))


def _add(editors: dict[Layout, str], info: ModelInfo) -> None:
    layout = Layout.ENSEMBLE if info.steps else Layout.FUSED
    if layout in editors:
        found = f"got {info.parameters[EDITS]!r}, which {editors[layout]} edits already"
        raise MetadataError([Diagnostic(f'parameters["{EDITS}"]', found, "one model per pack and layout")])
    editors[layout] = info.name


def _can_be_edited(model: Model) -> bool:
    return model.method is Method.SIS_UG and ConditionKind.LABEL_MAP in model.conditions


def _checked(info: ModelInfo, registry: Mapping[str, Model]) -> str:
    """The pack whose images a model edits.

    Raises:
        MetadataError: There is no such pack, or the tensors do not fit it.
    """
    pack = info.parameters[EDITS]
    model = registry.get(pack)
    if model is None or not _can_be_edited(model):
        able = ", ".join(name for name, each in registry.items() if _can_be_edited(each))
        raise MetadataError(
            [Diagnostic(f'parameters["{EDITS}"]', f"got {pack!r}", f"one of: {able or 'none here'}")]
        )
    condition = model.conditions[ConditionKind.LABEL_MAP]
    image = f"[{model.image_height}, {model.image_width}, 3]"
    shapes = Shapes(info)
    shapes.input(tensors.PICTURE, np.uint8, image)
    shapes.input(tensors.LABEL_MAP, np.uint8, f"[{condition.height}, {condition.width}]")
    shapes.input(tensors.STYLE_STRENGTH, np.float32, "[1]")
    shapes.output(tensors.IMAGE, np.uint8, image)
    if shapes.diagnostics:
        raise MetadataError(shapes.diagnostics)
    return pack
