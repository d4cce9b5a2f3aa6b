"""The tensors and the stages that the conditions of a pack of SIS-UG are put together from."""

from __future__ import annotations

import torch

from export.label_reader import label_reader_stage
from export.sis_ug_stages import (
    GeneratorHead,
    GeneratorMiddle,
    GeneratorTail,
    Inverter,
    Mapper,
    ProxySegmenter,
    Rearranger,
    ScribbleCompleter,
    SketchReader,
    TargetReader,
)
from export.stages import (
    IMAGE,
    LABEL_MAP,
    LATENT,
    LEVELS,
    PICTURE,
    Stage,
    TensorSpec,
    below,
    below_or,
    normal,
    shares_of_one,
)
from training.conditions.readers import NOT_DRAWN
from training.sis_ug.config import PackConfig
from training.sis_ug.pipeline import SynthesisPipeline
from training.sis_ug.rearranger_parts import RearrangerParts

STYLE_STRENGTH = "STYLE_STRENGTH"
SOURCE_HISTOGRAM = "SOURCE_HISTOGRAM"
SOURCE_PROXY_MASK = "SOURCE_PROXY_MASK"
TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
REARRANGED_FEATURES = "REARRANGED_FEATURES"
SKETCH = "SKETCH"
SCRIBBLE = "SCRIBBLE"
LAYER_STYLES = "LAYER_STYLES"


class Parts:
    """What conditions are put together from; each stage belongs to any number of them.

    Args:
        config: of the pack.
        pipeline: what the stages compute.
    """

    def __init__(self, config: PackConfig, pipeline: SynthesisPipeline) -> None:
        self.config, self.pipeline = config, pipeline
        pack, side, clusters = config.pack.name, config.proxies.resolution, config.proxies.clusters
        ids, classes = below(clusters), len(config.palette)
        channels, size = pipeline.generator.channels, pipeline.generator.image_size
        features = tuple(_map(f"FEATURES_{r}X{r}", channels[r], r) for r in pipeline.attended)
        parts = RearrangerParts(pipeline.rearranger)
        levels = config.rearranger.levels

        def of_levels(name: str) -> tuple[TensorSpec, ...]:
            return tuple(
                _map(
                    f"{name}_{level.resolution}X{level.resolution}",
                    level.heads * level.head_dim,
                    level.resolution,
                )
                for level in levels
            )

        keys, queries = of_levels("KEYS"), of_levels("QUERIES")
        additions = tuple(_map(f"ADDITION_{r}X{r}", parts.added_channels(r), r) for r in parts.added)
        source_mask = TensorSpec(SOURCE_PROXY_MASK, torch.uint8, (side, side), ids)
        histogram = TensorSpec(SOURCE_HISTOGRAM, torch.float32, (clusters,), shares_of_one)
        shape = pipeline.generator.styles_shape
        styles = () if shape is None else (TensorSpec(LAYER_STYLES, torch.float32, shape),)
        rearranged = _map(REARRANGED_FEATURES, channels[pipeline.cut], pipeline.cut)
        self.latent = TensorSpec(
            LATENT, torch.float32, (pipeline.generator.latent_dim,), normal(config.latent.scale)
        )
        self.target_mask = TensorSpec(TARGET_PROXY_MASK, torch.uint8, (side, side), ids)
        self.label_map = TensorSpec(LABEL_MAP, torch.uint8, (size, size), below(classes))
        self.sketch = TensorSpec(SKETCH, torch.uint8, (size, size), below(LEVELS))
        self.scribble = TensorSpec(SCRIBBLE, torch.uint8, (size, size), below_or(classes, NOT_DRAWN))
        self.given_image = TensorSpec(PICTURE, torch.uint8, (size, size, 3), below(LEVELS))
        self.strength = TensorSpec(STYLE_STRENGTH, torch.float32, (1,))
        self.image = TensorSpec(IMAGE, torch.uint8, (size, size, 3))

        self.head = Stage(
            f"{pack}_generator_head",
            GeneratorHead(pipeline, parts),
            (self.latent,),
            (*features, *keys, histogram, *styles),
            cached=True,
        )
        self.mapper = Stage(
            f"{pack}_mapper_label_map",
            Mapper(pipeline),
            (self.label_map, histogram, self.strength),
            (self.target_mask,),
            cached=True,
        )
        self.reader = Stage(
            f"{pack}_sketch_reader",
            SketchReader(pipeline),
            (self.sketch,),
            (self.label_map,),
            cached=True,
        )
        self.completer = Stage(
            f"{pack}_scribble_completer",
            ScribbleCompleter(pipeline),
            (self.scribble,),
            (self.label_map,),
            cached=True,
        )
        self.segmenter = Stage(
            f"{pack}_proxy_segmenter",
            ProxySegmenter(pipeline),
            (self.given_image,),
            (self.target_mask,),
            cached=True,
        )
        self.target = Stage(
            f"{pack}_target_reader",
            TargetReader(pipeline, parts),
            (self.target_mask,),
            (*queries, *additions),
            cached=True,
        )
        self.rearranger = Stage(
            f"{pack}_rearranger",
            Rearranger(pipeline, parts),
            (*features, *keys, *queries, *additions, *styles),
            (rearranged,),
        )
        self.tail = Stage(
            f"{pack}_generator_tail", GeneratorTail(pipeline), (rearranged, *styles), (self.image,)
        )
        finest = max(pipeline.attended)
        self.middle = Stage(
            f"{pack}_generator_middle",
            GeneratorMiddle(pipeline, finest),
            (_map(f"FEATURES_{finest}X{finest}", channels[finest], finest), *styles),
            (rearranged,),
        )
        self.label_reader = (
            None
            if pipeline.label_reader is None
            else label_reader_stage(config.pack, pipeline.label_reader, self.given_image, classes)
        )
        self.inverter = Stage(
            f"{pack}_inverter",
            Inverter(pipeline, parts),
            (self.given_image, source_mask),
            (*features, *keys, histogram),
            cached=True,
            halved=True,
        )


def _map(name: str, channels: int, side: int) -> TensorSpec:
    """Feature maps of a resolution."""
    return TensorSpec(name, torch.float32, (channels, side, side))
