"""A pack of the method SIS-UG: head, rearranger and tail, and before them what each kind of condition needs.

    sketch   -> reader ────┐
    scribble -> completer ─┤
    label map ─────────────┴─> mapper ─┐
    proxy mask ────────────────────────┼─> rearranger -> tail -> picture
    exemplar -> proxy segmenter ───────┘

Sketches, scribbles and edits of pictures are served once they are trained. Edits have an inverter in place of
the head, and the picture that is edited in place of the latent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from export.exported import Array, ExportedPack, Models, Pictures, ServedCondition, Walk, image_of
from export.sis_ug_stages import (
    FusedEdit,
    FusedMapping,
    FusedShape,
    GeneratorHead,
    GeneratorTail,
    Inverter,
    Mapper,
    ProxySegmenter,
    Rearranger,
    ScribbleCompleter,
    SketchReader,
    ToTarget,
)
from export.stages import (
    IMAGE,
    LABEL_MAP,
    LABEL_MAP_CONDITION,
    LATENT,
    LEVELS,
    PICTURE,
    Stage,
    TensorSpec,
    below,
    below_or,
    ensemble_name,
    from_picture,
    fused_name,
    normal,
    shares_of_one,
)
from training.config import PackConfig, load_config, pack_folder
from training.data.samples import to_uint8
from training.pipeline import SynthesisPipeline, load_pipeline
from training.readers import NOT_DRAWN
from training.scribbles import CAREFUL, scribbles
from training.sections import StyleStrengthSection
from training.sketches import as_sketches, outlines

STYLE_STRENGTH = "STYLE_STRENGTH"
SOURCE_HISTOGRAM = "SOURCE_HISTOGRAM"
SOURCE_PROXY_MASK = "SOURCE_PROXY_MASK"
TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
REARRANGED_FEATURES = "REARRANGED_FEATURES"
SKETCH = "SKETCH"
SCRIBBLE = "SCRIBBLE"
LAYER_STYLES = "LAYER_STYLES"

SKETCH_CONDITION = "sketch"
SCRIBBLE_CONDITION = "scribble"
PROXY_MASK_CONDITION = "proxy_mask"
EXEMPLAR_CONDITION = "exemplar"
EDIT = "edit"

Draw = Callable[[Array, Array], Array]
"""Valid inputs of a condition, made of label maps uint8 `[B, H, W]` and latents `[B, latent_size]`."""


def feature_name(resolution: int) -> str:
    """Name of the tensor of features at a resolution."""
    return f"FEATURES_{resolution}X{resolution}"


class _Parts:
    """The tensors and stages that conditions are put together from."""

    def __init__(self, config: PackConfig, pipeline: SynthesisPipeline) -> None:
        self.config, self.pipeline = config, pipeline
        pack, side, clusters = config.pack.name, config.proxies.resolution, config.proxies.clusters
        ids, classes = below(clusters), len(config.palette)
        channels, size = pipeline.generator.channels, pipeline.generator.image_size
        features = tuple(
            TensorSpec(feature_name(r), torch.float32, (channels[r], r, r)) for r in pipeline.attended
        )
        source_mask = TensorSpec(SOURCE_PROXY_MASK, torch.uint8, (side, side), ids)
        histogram = TensorSpec(SOURCE_HISTOGRAM, torch.float32, (clusters,), shares_of_one)
        shape = pipeline.generator.styles_shape
        styles = () if shape is None else (TensorSpec(LAYER_STYLES, torch.float32, shape),)
        rearranged = TensorSpec(
            REARRANGED_FEATURES, torch.float32, (channels[pipeline.cut], pipeline.cut, pipeline.cut)
        )
        self.latent = TensorSpec(
            LATENT, torch.float32, (pipeline.generator.latent_dim,), normal(config.latent.scale)
        )
        self.target_mask = TensorSpec(TARGET_PROXY_MASK, torch.uint8, (side, side), ids)
        self.label_map = TensorSpec(LABEL_MAP, torch.uint8, (size, size), below(classes))
        self.sketch = TensorSpec(SKETCH, torch.uint8, (size, size), below(LEVELS))
        self.scribble = TensorSpec(SCRIBBLE, torch.uint8, (size, size), below_or(classes, NOT_DRAWN))
        self.picture = TensorSpec(PICTURE, torch.uint8, (size, size, 3), below(LEVELS))
        self.strength = TensorSpec(STYLE_STRENGTH, torch.float32, (1,))
        self.image = TensorSpec(IMAGE, torch.uint8, (size, size, 3))

        self.head = Stage(
            f"{pack}_generator_head",
            GeneratorHead(pipeline),
            (self.latent,),
            (*features, source_mask, histogram, *styles),
            cached=True,
        )
        self.mapper = Stage(
            f"{pack}_mapper_label_map",
            Mapper(pipeline),
            (self.label_map, histogram, self.strength),
            (self.target_mask,),
        )
        self.reader = Stage(
            f"{pack}_sketch_reader", SketchReader(pipeline), (self.sketch,), (self.label_map,)
        )
        self.completer = Stage(
            f"{pack}_scribble_completer", ScribbleCompleter(pipeline), (self.scribble,), (self.label_map,)
        )
        self.segmenter = Stage(
            f"{pack}_proxy_segmenter", ProxySegmenter(pipeline), (self.picture,), (self.target_mask,)
        )
        self.rearranger = Stage(
            f"{pack}_rearranger",
            Rearranger(pipeline),
            (*features, source_mask, self.target_mask, *styles),
            (rearranged,),
        )
        self.tail = Stage(
            f"{pack}_generator_tail", GeneratorTail(pipeline), (rearranged, *styles), (self.image,)
        )
        self.inverter = Stage(
            f"{pack}_inverter",
            Inverter(pipeline),
            (self.picture, source_mask),
            (*features, histogram),
            cached=True,
            halved=True,
        )

    def edited(self) -> ServedCondition:
        """The ensemble that edits pictures: a picture in place of a latent, its shape from a label map."""
        pack, default = self.config.pack.name, self.config.mapper.style_strength.default
        inputs = (self.picture, self.label_map, self.strength)

        def walk(models: Models, labels: Array, latents: Array) -> Pictures:
            pictures = to_uint8(_neighbours(self.pipeline, latents))
            strengths = np.full((len(labels), 1), default, np.float32)
            given = {PICTURE: pictures, LABEL_MAP: labels, STYLE_STRENGTH: strengths}
            return image_of(models(given))

        return ServedCondition(
            name=ensemble_name(pack, EDIT),
            stages=(self.segmenter, self.inverter, self.mapper, self.rearranger, self.tail),
            fused=Stage(fused_name(pack, EDIT), FusedEdit(self.pipeline), inputs, (self.image,)),
            parameters={"edits": pack, "model_version": self.config.pack.version},
            walk=walk,
            # What it reads off a picture is the target of an exemplar, but here the source.
            renamed={(self.segmenter.name, TARGET_PROXY_MASK): SOURCE_PROXY_MASK},
        )

    def served(
        self,
        condition: str,
        stages: tuple[Stage, ...],
        fused: FusedMapping | FusedShape,
        given: TensorSpec,
        draw: Draw,
        strength: StyleStrengthSection | None = None,
        **more: str,
    ) -> ServedCondition:
        """A condition that is served.

        Args:
            condition: its kind.
            stages: what turns it into the target proxy mask.
            fused: the whole as one graph.
            given: its tensor.
            draw: makes some to compare pictures with.
            strength: its dial; None if it has none.
            more: parameters that only this condition has.
        """
        pack, palette = self.config.pack, self.config.palette
        parameters = {
            "pack": pack.name,
            "method": pack.method,
            "condition": condition,
            "title": pack.title,
            "description": pack.description,
            "model_version": pack.version,
            "palette": json.dumps([entry.model_dump() for entry in palette.classes]),
            "latent_scale": repr(self.config.latent.scale),
            **more,
        }
        inputs: tuple[TensorSpec, ...] = (given, self.latent)
        if strength is not None:
            parameters["style_strength"] = json.dumps({"default": strength.default, "min": 0.0, "max": 1.0})
            inputs = (*inputs, self.strength)
        default = None if strength is None else strength.default
        return ServedCondition(
            name=ensemble_name(pack.name, condition),
            stages=(self.head, *stages, self.rearranger, self.tail),
            fused=Stage(fused_name(pack.name, condition), fused, inputs, (self.image,)),
            parameters=parameters,
            walk=_walk(given.name, draw, default),
        )


def _walk(given: str, draw: Draw, strength: float | None) -> Walk:
    def walk(models: Models, labels: Array, latents: Array) -> Pictures:
        inputs = {given: draw(labels, latents), LATENT: latents}
        if strength is not None:
            inputs[STYLE_STRENGTH] = np.full((len(labels), 1), strength, np.float32)
        return image_of(models(inputs))

    return walk


def sis_ug_pack(config: PackConfig, pipeline: SynthesisPipeline) -> ExportedPack:
    """All that is exported of a pack of SIS-UG."""
    parts = _Parts(config, pipeline)
    strength = config.mapper.style_strength
    conditions = [
        parts.served(
            LABEL_MAP_CONDITION,
            (parts.mapper,),
            FusedMapping(pipeline, pipeline.map_labels),
            parts.label_map,
            lambda labels, latents: labels,
            strength,
        )
    ]
    if pipeline.reader is not None:
        conditions.append(
            parts.served(
                SKETCH_CONDITION,
                (parts.reader, parts.mapper),
                FusedMapping(pipeline, _after(pipeline, pipeline.read_sketches)),
                parts.sketch,
                lambda labels, latents: as_sketches(outlines(torch.from_numpy(labels))).numpy(),
                strength,
            )
        )
    if pipeline.completer is not None:
        conditions.append(
            parts.served(
                SCRIBBLE_CONDITION,
                (parts.completer, parts.mapper),
                FusedMapping(pipeline, _after(pipeline, pipeline.complete)),
                parts.scribble,
                lambda labels, latents: scribbles(labels, CAREFUL, np.random.default_rng(0)),
                strength,
            )
        )
    conditions += [
        parts.served(
            PROXY_MASK_CONDITION,
            (),
            FusedShape(pipeline, lambda mask: mask),
            parts.target_mask,
            partial(_proxy_masks, pipeline),
            proxy_clusters=str(config.proxies.clusters),
        ),
        parts.served(
            EXEMPLAR_CONDITION,
            (parts.segmenter,),
            FusedShape(pipeline, lambda picture: pipeline.segment(from_picture(picture))),
            parts.picture,
            lambda labels, latents: to_uint8(_neighbours(pipeline, latents)),
        ),
    ]
    if pipeline.inverter is not None:
        conditions.append(parts.edited())
    return ExportedPack(
        name=config.pack.name,
        palette=config.palette,
        image_side=pipeline.generator.image_size,
        latent_size=pipeline.generator.latent_dim,
        latent_scale=config.latent.scale,
        conditions=tuple(conditions),
        aside=(),
    )


def _after(pipeline: SynthesisPipeline, to_labels: Callable[[Tensor], Tensor]) -> ToTarget:
    """The mapper of label maps behind what reads drawings."""
    return lambda drawing, histogram, strength: pipeline.map_labels(to_labels(drawing), histogram, strength)


@torch.inference_mode()
def _neighbours(pipeline: SynthesisPipeline, latents: Array) -> Tensor:
    """For each latent the generator's own picture of the one before it."""
    return pipeline.generator.pictures(torch.from_numpy(np.roll(latents, 1, 0)))


@torch.inference_mode()
def _proxy_masks(pipeline: SynthesisPipeline, labels: Array, latents: Array) -> Array:
    """Proxy masks of each latent's neighbour, uint8; `labels` say nothing about them."""
    return pipeline.segment(_neighbours(pipeline, latents)).to(torch.uint8).numpy()


def load_sis_ug(name: str) -> ExportedPack:
    """A trained pack of SIS-UG.

    Raises:
        FileNotFoundError: if a network has not been trained or the generator is not installed.
        ValueError: if the configuration does not fit.
    """
    config = load_config(name)
    return sis_ug_pack(config, load_pipeline(config, pack_folder(name)))
