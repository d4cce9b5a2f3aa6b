"""Which models of the registry can be edited, and which model of the repository edits images for them.

A model with the parameter `maskweave.edits` takes images in place of the latents that the ensembles of the
pack it names take. A repository without one still offers edits of what seeds give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from service.core.errors import RepositoryProblem
from service.engine.base import ModelInfo
from service.synthesis.registry import tensors
from service.synthesis.registry.diagnostics import Diagnostic, MetadataError, Shapes
from service.synthesis.registry.metadata import PREFIX
from service.synthesis.registry.models import ConditionKind, EditSupport, Layout, Method, Model

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
