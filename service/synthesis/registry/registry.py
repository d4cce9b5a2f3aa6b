"""The model registry: what a service offers, found in what its engine says about the repository.

A model whose config has the parameter `maskweave.pack` serves one kind of condition for that pack, as an
ensemble of stages or as one fused graph. Everything callers are told about the pack is in its parameters and
its tensors. Models of one pack and of several versions are that many models to callers, under one name.
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
    precedence,
)
from service.synthesis.registry.tensors import Diagnostic, MetadataError, Shapes

_PACK = PREFIX + "pack"
_VERSION = PREFIX + "model_version"

_Key = tuple[str, str]
"""Name and version of a pack."""


def build_registry(
    models: Mapping[str, ModelInfo],
    layout: Layout | None = None,
    defaults: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Model]:
    """List what the engine's models offer to callers.

    Args:
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.
        defaults: By name, the version of those who ask for none; the newest where it is not said.

    Returns:
        The models by the names callers use, ordered by name, each in the version of those who ask for none.

    Raises:
        RepositoryError: A model's parameters or tensors are not what this service understands, a pack lacks
            the layout or the version in `defaults`, or no model offers a pack; names every problem found.
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
    registry: dict[_Key, Model] = {}
    for model in described if problems else _of_layout(described, layout, problems):
        key = model.name, model.version
        try:
            registry[key] = _merge(registry[key], model) if key in registry else model
        except MetadataError as error:
            problems += error.problems(_support(model).served_by)
    if not problems:
        registry = with_edit_support(registry, models, layout, problems)
    by_name = {} if problems else _by_name(registry.values(), defaults, problems)
    if problems:
        raise RepositoryError(problems)
    return MappingProxyType(by_name)


def _by_name(
    models: Iterable[Model], defaults: Mapping[str, str], problems: list[RepositoryProblem]
) -> dict[str, Model]:
    """Of each name the version of those who ask for none, with the others beside it."""
    versions: dict[str, dict[str, Model]] = {}
    for model in sorted(models, key=lambda each: precedence(each.version), reverse=True):
        versions.setdefault(model.name, {})[model.version] = model
    known = f"models: {', '.join(sorted(versions))}"
    problems += [
        _no_default(name, defaults[name], known) for name in sorted(defaults.keys() - versions.keys())
    ]
    chosen: dict[str, Model] = {}
    for name, of_name in sorted(versions.items()):
        default = defaults.get(name) or next(iter(of_name))
        if default not in of_name:
            problems.append(_no_default(name, default, f"versions: {', '.join(of_name)}"))
            continue
        others = {version: model for version, model in of_name.items() if version != default}
        chosen[name] = replace(of_name[default], other_versions=MappingProxyType(others))
    return chosen


def _no_default(name: str, version: str, allowed: str) -> RepositoryProblem:
    problem = f"the setting default_model_versions asks for {name}={version}, which is not there"
    return RepositoryProblem("*/config.pbtxt", f'parameters["{_VERSION}"]', problem, allowed)


def _of_layout(
    described: Iterable[Model], layout: Layout | None, problems: list[RepositoryProblem]
) -> list[Model]:
    """Of each pack, version and condition, the models of the layout wanted."""
    groups: dict[tuple[str, str, ConditionKind], list[Model]] = {}
    for model in described:
        (kind,) = model.conditions
        groups.setdefault((model.name, model.version, kind), []).append(model)
    chosen = []
    for (pack, _, kind), group in groups.items():
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
                    "one model per pack, version, condition and layout",
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
    registry: Mapping[_Key, Model],
    models: Mapping[str, ModelInfo],
    layout: Layout | None,
    problems: list[RepositoryProblem],
) -> dict[_Key, Model]:
    """Say of each model whether it can be edited, and by what.

    Args:
        registry: The models on offer, by name and version.
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.
        problems: What is wrong with those that edit images is added here.
    """
    editors: dict[_Key, dict[Layout, str]] = {}
    for info in models.values():
        if EDITS in info.parameters:
            try:
                of_pack = editors.setdefault(_checked(info, registry), {})
                _add(of_pack, info)
            except MetadataError as error:
                problems += error.problems(info.name)
    return {
        key: replace(model, editing=EditSupport(_chosen(editors.get(key, {}), layout)))
        if _can_be_edited(model)
        else model
        for key, model in registry.items()
    }


def _chosen(editors: Mapping[Layout, str], layout: Layout | None) -> str | None:
    if layout is not None:
        return editors.get(layout)
    return editors.get(Layout.ENSEMBLE, editors.get(Layout.FUSED))


def _add(editors: dict[Layout, str], info: ModelInfo) -> None:
    layout = Layout.ENSEMBLE if info.steps else Layout.FUSED
    if layout in editors:
        found = f"got {info.parameters[EDITS]!r}, which {editors[layout]} edits already"
        raise MetadataError(
            [Diagnostic(f'parameters["{EDITS}"]', found, "one model per pack, version and layout")]
        )
    editors[layout] = info.name


def _can_be_edited(model: Model) -> bool:
    return model.method is Method.SIS_UG and ConditionKind.LABEL_MAP in model.conditions


def _checked(info: ModelInfo, registry: Mapping[_Key, Model]) -> _Key:
    """The pack whose images a model edits, and its version.

    Raises:
        MetadataError: There is no such pack, or not in that version, or the tensors do not fit it.
    """
    pack = info.parameters[EDITS]
    able = {key: each for key, each in registry.items() if _can_be_edited(each)}
    if pack not in (name for name, _ in able):
        allowed = f"one of: {', '.join(sorted({name for name, _ in able})) or 'none here'}"
        raise MetadataError([Diagnostic(f'parameters["{EDITS}"]', f"got {pack!r}", allowed)])
    versions = [version for name, version in able if name == pack]
    # Repositories of before there were several versions need not say it.
    version = info.parameters.get(_VERSION, versions[0] if len(versions) == 1 else "")
    if version not in versions:
        found = f"got {version!r}" if version else "missing"
        allowed = f"a version of {pack}: {', '.join(sorted(versions))}"
        raise MetadataError([Diagnostic(f'parameters["{_VERSION}"]', found, allowed)])
    model = able[pack, version]
    condition = model.conditions[ConditionKind.LABEL_MAP]
    image = f"[{model.image_height}, {model.image_width}, 3]"
    shapes = Shapes(info)
    shapes.input(tensors.PICTURE, np.uint8, image)
    shapes.input(tensors.LABEL_MAP, np.uint8, f"[{condition.height}, {condition.width}]")
    shapes.input(tensors.STYLE_STRENGTH, np.float32, "[1]")
    shapes.output(tensors.IMAGE, np.uint8, image)
    if shapes.diagnostics:
        raise MetadataError(shapes.diagnostics)
    return pack, version
