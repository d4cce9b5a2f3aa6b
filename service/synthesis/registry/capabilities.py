"""What else a repository's models do for a pack: edit its images, and read label maps off them.

Such a model says in a parameter of its own whose images they are; gateways that do not know it pass over it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from service.core.diagnostics import RepositoryProblem
from service.engine.base import ModelInfo
from service.synthesis.registry import tensors
from service.synthesis.registry.metadata import PREFIX
from service.synthesis.registry.models import (
    ConditionKind,
    EditSupport,
    Layout,
    Method,
    Model,
    ReadingSupport,
)
from service.synthesis.registry.tensors import Diagnostic, MetadataError, Shapes

EDITS = PREFIX + "edits"
"""Parameter of what edits images: the pack."""
READS_LABELS = PREFIX + "reads_labels"
"""Parameter of what reads label maps, off images or off those that it makes of latents: the pack."""
VERSION = PREFIX + "model_version"

_logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Name and version of a pack."""

_Models = Mapping[str, ModelInfo]


def with_edit_support(
    registry: Mapping[Key, Model], models: _Models, layout: Layout | None, problems: list[RepositoryProblem]
) -> dict[Key, Model]:
    """Say of each model whether it can be edited, and by what.

    Args:
        registry: The models on offer, by name and version.
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.
        problems: What is wrong with those that edit images is added here.
    """
    able = {key: each for key, each in registry.items() if _can_be_edited(each)}
    editors: dict[Key, dict[Layout, str]] = {}
    for info in _having(EDITS, models):
        try:
            key = _pack_of(info, EDITS, able)
            _check_editor(info, able[key])
            _add(editors.setdefault(key, {}), info, EDITS, "edits")
        except MetadataError as error:
            problems += error.problems(info.name)
    return {
        key: replace(model, editing=EditSupport(_chosen(editors.get(key, {}), layout)))
        if key in able
        else model
        for key, model in registry.items()
    }


def with_reading_support(
    registry: Mapping[Key, Model], models: _Models, layout: Layout | None, problems: list[RepositoryProblem]
) -> dict[Key, Model]:
    """Say of each model whether label maps can be read off its images, and by what.

    What reads them needs no other model of its pack: one whose pack is not on offer, as it was taken out or
    Triton has it not ready, is passed over, and the others are served.

    Args:
        registry: The models on offer, by name and version.
        models: The ready models, by their names in the repository.
        layout: The layout to serve; None for ensembles, and fused graphs where there is no ensemble.
        problems: What is wrong with those that read label maps is added here.
    """
    of_images: dict[Key, dict[Layout, str]] = {}
    of_latents: dict[Key, dict[Layout, str]] = {}
    packs = {name for name, _ in registry}
    for info in _having(READS_LABELS, models):
        if (pack := info.parameters[READS_LABELS]) not in packs:
            _logger.warning(
                "label reader without its pack", extra={"model": info.name, "reason": f"{pack} is not served"}
            )
            continue
        try:
            key = _pack_of(info, READS_LABELS, registry)
            makes_image = any(spec.name == tensors.LATENT for spec in info.inputs)
            _check_reader(info, registry[key], makes_image=makes_image)
            readers = of_latents if makes_image else of_images
            _add(readers.setdefault(key, {}), info, READS_LABELS, "reads")
        except MetadataError as error:
            problems += error.problems(info.name)
    described = dict(registry)
    for key in of_images.keys() | of_latents.keys():
        # What takes an image is a stage by itself, which belongs to every layout.
        of_image = next(iter(of_images.get(key, {}).values()), None)
        support = ReadingSupport(of_image, _chosen(of_latents.get(key, {}), layout))
        if support != ReadingSupport(None, None):
            described[key] = replace(registry[key], reading=support)
    return described


def _having(parameter: str, models: _Models) -> Iterator[ModelInfo]:
    return (info for info in models.values() if parameter in info.parameters)


def _chosen(by_layout: Mapping[Layout, str], layout: Layout | None) -> str | None:
    if layout is not None:
        return by_layout.get(layout)
    return by_layout.get(Layout.ENSEMBLE, by_layout.get(Layout.FUSED))


def _add(known: dict[Layout, str], info: ModelInfo, parameter: str, verb: str) -> None:
    layout = Layout.ENSEMBLE if info.steps else Layout.FUSED
    if layout in known:
        found = f"got {info.parameters[parameter]!r}, which {known[layout]} {verb} already"
        raise MetadataError(
            [Diagnostic(f'parameters["{parameter}"]', found, "one model per pack, version and layout")]
        )
    known[layout] = info.name


def _can_be_edited(model: Model) -> bool:
    return model.method is Method.SIS_UG and ConditionKind.LABEL_MAP in model.conditions


def _pack_of(info: ModelInfo, parameter: str, able: Mapping[Key, Model]) -> Key:
    """The pack that a model belongs to by a parameter, and its version.

    Raises:
        MetadataError: There is no such pack, or not in that version.
    """
    pack = info.parameters[parameter]
    if pack not in (name for name, _ in able):
        allowed = f"one of: {', '.join(sorted({name for name, _ in able})) or 'none here'}"
        raise MetadataError([Diagnostic(f'parameters["{parameter}"]', f"got {pack!r}", allowed)])
    versions = [version for name, version in able if name == pack]
    # Repositories of before there were several versions need not say it.
    version = info.parameters.get(VERSION, versions[0] if len(versions) == 1 else "")
    if version not in versions:
        found = f"got {version!r}" if version else "missing"
        allowed = f"a version of {pack}: {', '.join(sorted(versions))}"
        raise MetadataError([Diagnostic(f'parameters["{VERSION}"]', found, allowed)])
    return pack, version


def _image_dims(model: Model) -> str:
    return f"[{model.image_height}, {model.image_width}, 3]"


def _check_editor(info: ModelInfo, model: Model) -> None:
    """Check the tensors of a model that edits images.

    Raises:
        MetadataError: They do not fit the pack.
    """
    condition = model.conditions[ConditionKind.LABEL_MAP]
    shapes = Shapes(info)
    shapes.input(tensors.PICTURE, np.uint8, _image_dims(model))
    shapes.input(tensors.LABEL_MAP, np.uint8, f"[{condition.height}, {condition.width}]")
    shapes.input(tensors.STYLE_STRENGTH, np.float32, "[1]")
    shapes.output(tensors.IMAGE, np.uint8, _image_dims(model))
    if shapes.diagnostics:
        raise MetadataError(shapes.diagnostics)


def _check_reader(info: ModelInfo, model: Model, *, makes_image: bool) -> None:
    """Check the tensors of a model that reads label maps.

    Raises:
        MetadataError: They do not fit the pack.
    """
    shapes = Shapes(info)
    if makes_image:
        shapes.input(tensors.LATENT, np.float32, f"[{model.latent_size}]")
        shapes.output(tensors.IMAGE, np.uint8, _image_dims(model))
    else:
        shapes.input(tensors.PICTURE, np.uint8, _image_dims(model))
    shapes.output(tensors.LABEL_MAP, np.uint8, f"[{model.image_height}, {model.image_width}]")
    if shapes.diagnostics:
        raise MetadataError(shapes.diagnostics)
