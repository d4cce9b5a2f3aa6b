"""The model registry: what a service offers, found in what its engine says about the repository.

A model whose config has the parameter `maskweave.pack` serves one kind of condition for that pack, as an
ensemble of stages or as one fused graph. Everything callers are told about the pack is in its parameters and
its tensors. Models of one pack and of several versions are that many models to callers, under one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from service.core.diagnostics import RepositoryError, RepositoryProblem
from service.engine.base import ModelInfo
from service.synthesis.registry.capabilities import VERSION, Key, with_edit_support, with_reading_support
from service.synthesis.registry.metadata import PREFIX, read_metadata
from service.synthesis.registry.models import (
    ConditionKind,
    ConditionSupport,
    Layout,
    Model,
    precedence,
)
from service.synthesis.registry.tensors import Diagnostic, MetadataError

_PACK = PREFIX + "pack"


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
    registry: dict[Key, Model] = {}
    for model in described if problems else _of_layout(described, layout, problems):
        key = model.name, model.version
        try:
            registry[key] = _merge(registry[key], model) if key in registry else model
        except MetadataError as error:
            problems += error.problems(_support(model).served_by)
    if not problems:
        registry = with_edit_support(registry, models, layout, problems)
        registry = with_reading_support(registry, models, layout, problems)
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
    return RepositoryProblem("*/config.pbtxt", f'parameters["{VERSION}"]', problem, allowed)


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
