"""A trained pack as its method exports it: all that repository, verification and tests ask of a method."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.stages import IMAGE, Stage
from training.config.palette import Palette
from training.config.sections import PackSection
from training.groupdnet.config import StylesPackSection

Array = NDArray[Any]
Images = NDArray[np.uint8]
Answer = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Runs one model: tensors by name, batch first."""


class Models(Protocol):
    """A pack's models, ready to run."""

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of the model that gives images."""

    def ask(self, model: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of a model that the gateway asks by itself."""


Walk = Callable[[Models, Array, Array], Images]
"""Images of label maps uint8 `[B, H, W]` and latents `[B, latent_size]`, made in every way a caller can ask
for: some multiple of B, in whole batches."""


@dataclass(frozen=True, slots=True)
class ServedCondition:
    """How one kind of condition is served.

    Attributes:
        name: of the ensemble.
        stages: what the ensemble runs, one after the other.
        fused: the stages as one graph; what it takes and gives is what the ensemble takes and gives.
        parameters: what callers and the gateway are told; lists and objects as JSON.
        walk: how images are compared.
        renamed: what tensors of a stage are called in the ensemble, by stage and tensor, where it is
            something else.
    """

    name: str
    stages: tuple[Stage, ...]
    fused: Stage
    parameters: Mapping[str, str]
    walk: Walk
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportedPack:
    """What a pack's method exports.

    Attributes:
        name: of the pack.
        palette: of its label maps.
        image_side: rows of label maps and images.
        latent_size: numbers of a latent.
        latent_scale: latents are drawn from N(0, latent_scale^2).
        conditions: what is served.
        aside: what the gateway asks by itself, stages or not; they belong to every layout.
        image_width: columns of label maps and images; None: as many.
    """

    name: str
    palette: Palette
    image_side: int
    latent_size: int
    latent_scale: float
    conditions: tuple[ServedCondition, ...]
    aside: tuple[Stage, ...]
    image_width: int | None = None

    @property
    def graphs(self) -> tuple[Stage, ...]:
        """What the ensembles' layout has, each once: the stages, and what is asked beside them."""
        stages = [stage for condition in self.conditions for stage in condition.stages]
        return tuple({stage.name: stage for stage in (*stages, *self.aside)}.values())


class InPyTorch:
    """A pack's models for a condition in PyTorch: the reference."""

    def __init__(self, pack: ExportedPack, condition: ServedCondition) -> None:
        self._fused, self._aside = condition.fused, {stage.name: stage for stage in pack.aside}

    def __call__(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of the model that gives images."""
        return _run(self._fused, inputs)

    def ask(self, model: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Outputs of a model that the gateway asks by itself."""
        return _run(self._aside[model], inputs)


@torch.inference_mode()
def _run(stage: Stage, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    given = stage.module(*(torch.from_numpy(inputs[spec.name]) for spec in stage.inputs))
    outputs = (given,) if isinstance(given, Tensor) else given
    return {spec.name: tensor.numpy() for spec, tensor in zip(stage.outputs, outputs, strict=True)}


def condition_parameters(
    pack: PackSection | StylesPackSection, palette: Palette, condition: str, latent_scale: float
) -> dict[str, str]:
    """The parameters of a served condition that every method has.

    Args:
        pack: what callers are told.
        palette: of its label maps.
        condition: its kind.
        latent_scale: latents are drawn from N(0, latent_scale^2).
    """
    return {
        "pack": pack.name,
        "method": pack.method,
        "condition": condition,
        "title": pack.title,
        "description": pack.description,
        "model_version": pack.version,
        "palette": json.dumps([entry.model_dump() for entry in palette.classes]),
        "latent_scale": repr(latent_scale),
    }


def image_of(outputs: Mapping[str, Array]) -> Images:
    """The images among a model's outputs."""
    images: Images = outputs[IMAGE]
    return images
