"""The stages of a pack of the method SIS-UG: head, mapper, rearranger, tail."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor, nn

from export.exported import Array, ExportedPack, Models, Pictures, image_of
from export.stages import (
    IMAGE,
    LABEL_MAP,
    LABEL_MAP_CONDITION,
    LATENT,
    Stage,
    TensorSpec,
    below,
    fused_name,
    image,
    normal,
    shares_of_one,
)
from training.config import PackConfig, load_config, pack_folder
from training.pipeline import SynthesisPipeline, load_pipeline

STYLE_STRENGTH = "STYLE_STRENGTH"
SOURCE_HISTOGRAM = "SOURCE_HISTOGRAM"
SOURCE_PROXY_MASK = "SOURCE_PROXY_MASK"
TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
REARRANGED_FEATURES = "REARRANGED_FEATURES"
LAYER_STYLES = "LAYER_STYLES"


class GeneratorHead(nn.Module):
    """Latent to features at the attended resolutions, source proxy mask, histogram, layer styles if any."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        styles = () if source.styles is None else (source.styles,)
        return (*source.pyramid.values(), source.mask.to(torch.uint8), source.histogram, *styles)


class Mapper(nn.Module):
    """Label map, source histogram and style strength to the target proxy mask."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, label_map: Tensor, histogram: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        return self.pipeline.map_labels(label_map, histogram, strength).to(torch.uint8)


class Rearranger(nn.Module):
    """Source features, both proxy masks, and layer styles if any, to features at the cut."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        levels = len(self.pipeline.attended)
        pyramid = dict(zip(self.pipeline.attended, tensors[:levels], strict=True))
        return self.pipeline.rearrange(pyramid, *tensors[levels:])


class GeneratorTail(nn.Module):
    """Features at the cut, and layer styles if any, to a uint8 picture, channels last."""

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, *tensors: Tensor) -> Tensor:
        """See `Stage`."""
        return image(self.pipeline.tail(*tensors))


class FusedSynthesis(nn.Module):
    """Label map, latent and style strength to a uint8 picture, channels last.

    It calls what the stages call. Only their edges are left out: masks stay integers between the networks,
    since TensorRT takes uint8 at the edges of a network and nowhere else.
    """

    def __init__(self, pipeline: SynthesisPipeline) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.tail = GeneratorTail(pipeline)

    def forward(self, label_map: Tensor, latent: Tensor, strength: Tensor) -> Tensor:
        """See `Stage`."""
        source = self.pipeline.head(latent)
        target = self.pipeline.map_labels(label_map, source.histogram, strength)
        features = self.pipeline.rearrange(source.pyramid, source.mask, target, source.styles)
        picture: Tensor = self.tail(features, source.styles)
        return picture


def feature_name(resolution: int) -> str:
    """Name of the tensor of features at a resolution."""
    return f"FEATURES_{resolution}X{resolution}"


def sis_ug_stages(config: PackConfig, pipeline: SynthesisPipeline) -> tuple[Stage, ...]:
    """All stages of a SIS-UG pack for label maps, in the order they run."""
    pack, side, clusters = config.pack.name, config.proxies.resolution, config.proxies.clusters
    ids = below(clusters)
    channels, size = pipeline.generator.channels, pipeline.generator.image_size
    features = tuple(
        TensorSpec(feature_name(r), torch.float32, (channels[r], r, r)) for r in pipeline.attended
    )
    source_mask = TensorSpec(SOURCE_PROXY_MASK, torch.uint8, (side, side), ids)
    target_mask = TensorSpec(TARGET_PROXY_MASK, torch.uint8, (side, side), ids)
    histogram = TensorSpec(SOURCE_HISTOGRAM, torch.float32, (clusters,), shares_of_one)
    rearranged = TensorSpec(
        REARRANGED_FEATURES, torch.float32, (channels[pipeline.cut], pipeline.cut, pipeline.cut)
    )
    shape = pipeline.generator.styles_shape
    styles = () if shape is None else (TensorSpec(LAYER_STYLES, torch.float32, shape),)
    return (
        Stage(
            f"{pack}_generator_head",
            GeneratorHead(pipeline),
            (
                TensorSpec(
                    LATENT, torch.float32, (pipeline.generator.latent_dim,), normal(config.latent.scale)
                ),
            ),
            (*features, source_mask, histogram, *styles),
            cached=True,
        ),
        Stage(
            f"{pack}_mapper_label_map",
            Mapper(pipeline),
            (
                TensorSpec(LABEL_MAP, torch.uint8, (size, size), below(len(config.palette))),
                histogram,
                TensorSpec(STYLE_STRENGTH, torch.float32, (1,)),
            ),
            (target_mask,),
        ),
        Stage(
            f"{pack}_rearranger",
            Rearranger(pipeline),
            (*features, source_mask, target_mask, *styles),
            (rearranged,),
        ),
        Stage(
            f"{pack}_generator_tail",
            GeneratorTail(pipeline),
            (rearranged, *styles),
            (TensorSpec(IMAGE, torch.uint8, (size, size, 3)),),
        ),
    )


def sis_ug_pack(config: PackConfig, pipeline: SynthesisPipeline) -> ExportedPack:
    """All that is exported of a pack of SIS-UG."""
    stages = sis_ug_stages(config, pipeline)
    specs = {spec.name: spec for stage in stages for spec in (*stage.inputs, *stage.outputs)}
    strength = config.mapper.style_strength

    def walk(models: Models, labels: Array, latents: Array) -> Pictures:
        strengths = np.full((len(labels), 1), strength.default, np.float32)
        return image_of(models({LABEL_MAP: labels, LATENT: latents, STYLE_STRENGTH: strengths}))

    return ExportedPack(
        name=config.pack.name,
        palette=config.palette,
        image_side=pipeline.generator.image_size,
        latent_size=pipeline.generator.latent_dim,
        latent_scale=config.latent.scale,
        stages=stages,
        aside=(),
        fused=Stage(
            fused_name(config.pack.name),
            FusedSynthesis(pipeline),
            tuple(specs[name] for name in (LABEL_MAP, LATENT, STYLE_STRENGTH)),
            (specs[IMAGE],),
        ),
        parameters={
            "pack": config.pack.name,
            "method": config.pack.method,
            "condition": LABEL_MAP_CONDITION,
            "title": config.pack.title,
            "description": config.pack.description,
            "model_version": config.pack.version,
            "palette": json.dumps([entry.model_dump() for entry in config.palette.classes]),
            "latent_scale": repr(config.latent.scale),
            "style_strength": json.dumps({"default": strength.default, "min": 0.0, "max": 1.0}),
        },
        walk=walk,
    )


def load_sis_ug(name: str) -> ExportedPack:
    """A trained pack of SIS-UG.

    Raises:
        FileNotFoundError: if a network has not been trained or the generator is not installed.
        ValueError: if the configuration does not fit.
    """
    config = load_config(name)
    return sis_ug_pack(config, load_pipeline(config, pack_folder(name)))
