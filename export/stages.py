"""The stages of a pack as they are served: pre- and post-processing inside, plain arrays at the edges.

Tensor names, dtypes and shapes here are the contract with the gateway and with Triton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import PackConfig
from training.pipeline import SynthesisPipeline

LABEL_MAP = "LABEL_MAP"
LATENT = "LATENT"
STYLE_STRENGTH = "STYLE_STRENGTH"
SOURCE_HISTOGRAM = "SOURCE_HISTOGRAM"
SOURCE_PROXY_MASK = "SOURCE_PROXY_MASK"
TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
REARRANGED_FEATURES = "REARRANGED_FEATURES"
IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of a stage.

    Attributes:
        name: in UPPER_SNAKE_CASE.
        dtype: of the array.
        shape: without the batch dimension.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage to export.

    Attributes:
        name: of the model in the repository.
        module: takes and returns tensors in the order of `inputs` and `outputs`, batch dimension first.
        inputs: what it takes.
        outputs: what it gives.
        cached: whether the server shall remember its answers.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    cached: bool = False


class GeneratorHead(nn.Module):
    """Latent to features at the attended resolutions, source proxy mask and its histogram."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        return (*source.pyramid.values(), source.mask.to(torch.uint8), source.histogram)


class Mapper(nn.Module):
    """Label map, source histogram and style strength to the target proxy mask."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, label_map: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.map_labels(label_map, histogram, strength).to(torch.uint8)


class Rearranger(nn.Module):
    """Source features and both proxy masks to features at the cut."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        *features, source_mask, target_mask = tensors
        pyramid = dict(zip(self.pipeline.attended, features, strict=True))
        return self.pipeline.rearrange(pyramid, source_mask, target_mask)


class GeneratorTail(nn.Module):
    """Features at the cut to a uint8 picture, channels last."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, features: Tensor) -> Tensor:
        """See `Stage`."""
        picture = self.pipeline.tail(features) * 127.5 + 127.5
        return picture.clamp(0, 255).permute(0, 2, 3, 1).round().to(torch.uint8)


def ensemble_name(config: PackConfig, condition: str) -> str:
    """Name of the ensemble that serves a condition."""
    return f"{config.pack.name}_{condition}"


def feature_name(resolution: int) -> str:
    """Name of the tensor of features at a resolution."""
    return f"FEATURES_{resolution}X{resolution}"


def sis_ug_stages(config: PackConfig, pipeline: SynthesisPipeline) -> tuple[Stage, ...]:
    """All stages of a SIS-UG pack for label maps, in the order they run."""
    pack, side, clusters = config.pack.name, config.proxies.resolution, config.proxies.clusters
    channels, size = pipeline.generator.channels, pipeline.generator.image_size
    features = tuple(
        TensorSpec(feature_name(r), torch.float32, (channels[r], r, r)) for r in pipeline.attended
    )
    source_mask = TensorSpec(SOURCE_PROXY_MASK, torch.uint8, (side, side))
    target_mask = TensorSpec(TARGET_PROXY_MASK, torch.uint8, (side, side))
    histogram = TensorSpec(SOURCE_HISTOGRAM, torch.float32, (clusters,))
    rearranged = TensorSpec(
        REARRANGED_FEATURES, torch.float32, (channels[pipeline.cut], pipeline.cut, pipeline.cut)
    )
    return (
        Stage(
            f"{pack}_generator_head",
            GeneratorHead(pipeline),
            (TensorSpec(LATENT, torch.float32, (pipeline.generator.latent_dim,)),),
            (*features, source_mask, histogram),
            cached=True,
        ),
        Stage(
            f"{pack}_mapper_label_map",
            Mapper(pipeline),
            (
                TensorSpec(LABEL_MAP, torch.uint8, (size, size)),
                histogram,
                TensorSpec(STYLE_STRENGTH, torch.float32, (1,)),
            ),
            (target_mask,),
        ),
        Stage(
            f"{pack}_rearranger",
            Rearranger(pipeline),
            (*features, source_mask, target_mask),
            (rearranged,),
        ),
        Stage(
            f"{pack}_generator_tail",
            GeneratorTail(pipeline),
            (rearranged,),
            (TensorSpec(IMAGE, torch.uint8, (size, size, 3)),),
        ),
    )


def example_inputs(stage: Stage, batch: int, config: PackConfig, seed: int = 0) -> tuple[Tensor, ...]:
    """Random but valid inputs of a stage: ids within range, shares that sum to 1, strengths in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_example(spec, batch, config, generator) for spec in stage.inputs)


def _example(spec: TensorSpec, batch: int, config: PackConfig, generator: torch.Generator) -> Tensor:
    shape: Sequence[int] = (batch, *spec.shape)
    if spec.dtype == torch.uint8:
        count = len(config.palette) if spec.name == LABEL_MAP else config.proxies.clusters
        return torch.randint(count, shape, generator=generator).to(torch.uint8)
    if spec.name == LATENT:
        return torch.randn(shape, generator=generator) * config.latent.scale
    positive = torch.rand(shape, generator=generator)
    return positive / positive.sum(1, keepdim=True) if spec.name == SOURCE_HISTOGRAM else positive
