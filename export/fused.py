"""A pack's stages for one condition as a single graph: one queue and one run for a picture."""

from __future__ import annotations

from torch import Tensor, nn

from export.stages import (
    IMAGE,
    LABEL_MAP,
    LATENT,
    STYLE_STRENGTH,
    GeneratorTail,
    Stage,
    ensemble_name,
    sis_ug_stages,
)
from training.config import PackConfig
from training.pipeline import SynthesisPipeline


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
        picture: Tensor = self.tail(self.pipeline.rearrange(source.pyramid, source.mask, target))
        return picture


def fused_name(config: PackConfig, condition: str) -> str:
    """Name of the one graph that serves a condition."""
    return f"{ensemble_name(config, condition)}_fused"


def fused_stage(config: PackConfig, pipeline: SynthesisPipeline, condition: str) -> Stage:
    """The one stage that does what a pack's ensemble for a condition does."""
    stages = sis_ug_stages(config, pipeline)
    specs = {spec.name: spec for stage in stages for spec in (*stage.inputs, *stage.outputs)}
    return Stage(
        fused_name(config, condition),
        FusedSynthesis(pipeline),
        tuple(specs[name] for name in (LABEL_MAP, LATENT, STYLE_STRENGTH)),
        (specs[IMAGE],),
    )
