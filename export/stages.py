"""Stages of a pack as they are served: pre- and post-processing inside, plain arrays at the edges.

Tensor names, dtypes and shapes here are the contract with the gateway and with Triton. Each method lists its
stages in a module of its own: `export.sis_ug`, `export.groupdnet`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

LABEL_MAP = "LABEL_MAP"
LATENT = "LATENT"
IMAGE = "IMAGE"
PICTURE = "PICTURE"
LEVELS = 256
"""Of a colour, or of ink."""
LABEL_MAP_CONDITION = "label_map"
READS_LABELS = "reads_labels"
"""Parameter of what reads label maps: the pack."""

Examples = Callable[[tuple[int, ...], torch.Generator], Tensor]
"""Random but valid values of a shape, batch first."""


def shares_of_one(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Floats from 0 to 1 that add up to 1 for each sample."""
    positive = torch.rand(shape, generator=generator)
    return positive / positive.sum(1, keepdim=True)


def unit(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Floats from 0 to 1."""
    return torch.rand(shape, generator=generator)


def normal(scale: float) -> Examples:
    """Floats of N(0, scale^2)."""
    return lambda shape, generator: torch.randn(shape, generator=generator) * scale


def below(count: int) -> Examples:
    """Integers from 0 to one below `count`, uint8."""
    return lambda shape, generator: torch.randint(count, shape, generator=generator).to(torch.uint8)


def below_or(count: int, other: int) -> Examples:
    """Integers from 0 to one below `count`, uint8, half of them replaced by `other`."""

    def examples(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        ids = torch.randint(count, shape, generator=generator)
        kept = torch.rand(shape, generator=generator) < 0.5
        return torch.where(kept, ids, other).to(torch.uint8)

    return examples


def regions(count: int, side: int = 4) -> Examples:
    """Label maps of `side` by `side` plain squares: unlike noise, they lack classes here and there."""

    def examples(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        ids = torch.randint(count, (shape[0], 1, side, side), generator=generator).float()
        enlarged: Tensor = nn.functional.interpolate(ids, size=shape[1:])[:, 0]
        return enlarged.to(torch.uint8)

    return examples


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of a stage.

    Attributes:
        name: in UPPER_SNAKE_CASE.
        dtype: of the array.
        shape: without the batch dimension.
        examples: gives random but valid values.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    examples: Examples = unit


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage to export.

    Attributes:
        name: of the model in the repository.
        module: takes and returns tensors in the order of `inputs` and `outputs`, batch dimension first.
        inputs: what it takes.
        outputs: what it gives.
        cached: whether the server shall remember its answers.
        halved: whether its graph keeps in half precision what that holds exactly; it computes as before.
        parameters: what the gateway is told of it, if it asks the stage by itself.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    cached: bool = False
    halved: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)


def ensemble_name(pack: str, condition: str = LABEL_MAP_CONDITION) -> str:
    """Name of the ensemble that serves a condition."""
    return f"{pack}_{condition}"


def fused_name(pack: str, condition: str = LABEL_MAP_CONDITION) -> str:
    """Name of the one graph that serves a condition."""
    return f"{ensemble_name(pack, condition)}_fused"


def example_inputs(stage: Stage, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Random but valid inputs of a stage: ids within range, shares that sum to 1, strengths in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(spec.examples((batch, *spec.shape), generator) for spec in stage.inputs)


def to_image(image: Tensor) -> Tensor:
    """Images `[B, 3, H, W]` in [-1, 1] to uint8, channels last: what every last stage ends with."""
    scaled = image * 127.5 + 127.5
    return scaled.clamp(0, 255).permute(0, 2, 3, 1).round().to(torch.uint8)


def from_image(image: Tensor) -> Tensor:
    """Images uint8 `[B, H, W, 3]` to `[B, 3, H, W]` in [-1, 1]: what stages that take one begin with."""
    return image.permute(0, 3, 1, 2).float() / 127.5 - 1
