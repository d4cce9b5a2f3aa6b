"""A pack of the method SIS-UG: head, rearranger and tail, and before them what each kind of condition needs.

    sketch   -> reader ────┐
    scribble -> completer ─┤
    label map ─────────────┴─> mapper ─┐
    proxy mask ────────────────────────┼─> target reader ─> rearranger -> tail -> image
    exemplar -> proxy segmenter ───────┘

Beside them, head, middle and tail make the generator's own image of a latent, and the label reader its map.

Answers of all stages before the rearranger are kept: a repeated latent runs no head, a repeated condition
none of the stages that read it alone.

Sketches, scribbles, edits of images and label maps read off images are served once they are trained. Edits
have an inverter in place of the head, and the image that is edited in place of the latent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from export.exported import (
    Array,
    ExportedPack,
    Images,
    Models,
    ServedCondition,
    Walk,
    condition_parameters,
    image_of,
)
from export.label_reader import reading_parameters
from export.sis_ug_parts import SOURCE_PROXY_MASK, STYLE_STRENGTH, TARGET_PROXY_MASK, Parts
from export.sis_ug_stages import FusedEdit, FusedMapping, FusedOwn, FusedShape, ToTarget
from export.stages import (
    IMAGE,
    LABEL_MAP,
    LABEL_MAP_CONDITION,
    LATENT,
    PICTURE,
    Stage,
    TensorSpec,
    ensemble_name,
    from_image,
    fused_name,
)
from training.conditions.scribbles import CAREFUL, scribbles
from training.conditions.sketches import as_sketches, outlines
from training.config.packs import pack_folder
from training.data.samples import to_uint8
from training.sis_ug.config import PackConfig, load_config
from training.sis_ug.pipeline import SynthesisPipeline, load_pipeline
from training.sis_ug.sections import StyleStrengthSection

SKETCH_CONDITION = "sketch"
SCRIBBLE_CONDITION = "scribble"
PROXY_MASK_CONDITION = "proxy_mask"
EXEMPLAR_CONDITION = "exemplar"
EDIT = "edit"
OWN = "own"

Draw = Callable[[Array, Array], Array]
"""Valid inputs of a condition, made of label maps uint8 `[B, H, W]` and latents `[B, latent_size]`."""


def sis_ug_pack(config: PackConfig, pipeline: SynthesisPipeline) -> ExportedPack:
    """All that is exported of a pack of SIS-UG."""
    parts = Parts(config, pipeline)
    strength = config.mapper.style_strength
    conditions = [
        _served(
            parts,
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
            _served(
                parts,
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
            _served(
                parts,
                SCRIBBLE_CONDITION,
                (parts.completer, parts.mapper),
                FusedMapping(pipeline, _after(pipeline, pipeline.complete)),
                parts.scribble,
                lambda labels, latents: scribbles(labels, CAREFUL, np.random.default_rng(0)),
                strength,
            )
        )
    conditions += [
        _served(
            parts,
            PROXY_MASK_CONDITION,
            (),
            FusedShape(pipeline, lambda mask: mask),
            parts.target_mask,
            partial(_proxy_masks, pipeline),
            proxy_clusters=str(config.proxies.clusters),
        ),
        _served(
            parts,
            EXEMPLAR_CONDITION,
            (parts.segmenter,),
            FusedShape(pipeline, lambda image: pipeline.segment(from_image(image))),
            parts.given_image,
            lambda labels, latents: to_uint8(_neighbours(pipeline, latents)),
        ),
    ]
    if pipeline.inverter is not None:
        conditions.append(_edited(parts))
    if parts.label_reader is not None:
        conditions.append(_own(parts, parts.label_reader))
    return ExportedPack(
        name=config.pack.name,
        palette=config.palette,
        image_side=pipeline.generator.image_size,
        latent_size=pipeline.generator.latent_dim,
        latent_scale=config.latent.scale,
        conditions=tuple(conditions),
        aside=() if parts.label_reader is None else (parts.label_reader,),
    )


def load_sis_ug(name: str) -> ExportedPack:
    """A trained pack of SIS-UG.

    Raises:
        FileNotFoundError: if a network has not been trained or the generator is not installed.
        ValueError: if the configuration does not fit.
    """
    config = load_config(name)
    return sis_ug_pack(config, load_pipeline(config, pack_folder(name)))


def _served(
    parts: Parts,
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
        parts: of the pack.
        condition: its kind.
        stages: what turns it into the target proxy mask.
        fused: the whole as one graph.
        given: its tensor.
        draw: makes some to compare images with.
        strength: its dial; None if it has none.
        more: parameters that only this condition has.
    """
    config = parts.config
    pack = config.pack.name
    parameters = condition_parameters(config.pack, config.palette, condition, config.latent.scale) | more
    inputs: tuple[TensorSpec, ...] = (given, parts.latent)
    if strength is not None:
        parameters["style_strength"] = json.dumps({"default": strength.default, "min": 0.0, "max": 1.0})
        inputs = (*inputs, parts.strength)
    default = None if strength is None else strength.default
    return ServedCondition(
        name=ensemble_name(pack, condition),
        stages=(parts.head, *stages, parts.target, parts.rearranger, parts.tail),
        fused=Stage(fused_name(pack, condition), fused, inputs, (parts.image,)),
        parameters=parameters,
        walk=_walk(given.name, draw, default),
    )


def _edited(parts: Parts) -> ServedCondition:
    """The ensemble that edits images: an image in place of a latent, its shape from a label map."""
    pack, default = parts.config.pack, parts.config.mapper.style_strength.default
    inputs = (parts.given_image, parts.label_map, parts.strength)

    def walk(models: Models, labels: Array, latents: Array) -> Images:
        images = to_uint8(_neighbours(parts.pipeline, latents))
        strengths = np.full((len(labels), 1), default, np.float32)
        given = {PICTURE: images, LABEL_MAP: labels, STYLE_STRENGTH: strengths}
        return image_of(models(given))

    return ServedCondition(
        name=ensemble_name(pack.name, EDIT),
        stages=(parts.segmenter, parts.inverter, parts.mapper, parts.target, parts.rearranger, parts.tail),
        fused=Stage(fused_name(pack.name, EDIT), FusedEdit(parts.pipeline), inputs, (parts.image,)),
        parameters={"edits": pack.name, "model_version": pack.version},
        walk=walk,
        # What it reads off an image is the target of an exemplar, but here the source.
        renamed={(parts.segmenter.name, TARGET_PROXY_MASK): SOURCE_PROXY_MASK},
    )


def _own(parts: Parts, reader: Stage) -> ServedCondition:
    """The ensemble that gives a latent's own image, whatever a condition would make of it, and its map."""
    pack = parts.config.pack
    read = TensorSpec(LABEL_MAP, torch.uint8, reader.outputs[0].shape)

    def walk(models: Models, labels: Array, latents: Array) -> Images:
        images = image_of(models({LATENT: latents}))
        models.ask(reader.name, {PICTURE: images})  # so that it counts as run, in every layout
        return images

    return ServedCondition(
        name=ensemble_name(pack.name, OWN),
        stages=(parts.head, parts.middle, parts.tail, reader),
        fused=Stage(
            fused_name(pack.name, OWN), FusedOwn(parts.pipeline), (parts.latent,), (parts.image, read)
        ),
        parameters=reading_parameters(pack),
        walk=walk,
        renamed={(reader.name, PICTURE): IMAGE},
    )


def _walk(given: str, draw: Draw, strength: float | None) -> Walk:
    def walk(models: Models, labels: Array, latents: Array) -> Images:
        inputs = {given: draw(labels, latents), LATENT: latents}
        if strength is not None:
            inputs[STYLE_STRENGTH] = np.full((len(labels), 1), strength, np.float32)
        return image_of(models(inputs))

    return walk


def _after(pipeline: SynthesisPipeline, to_labels: Callable[[Tensor], Tensor]) -> ToTarget:
    """The mapper of label maps behind what reads drawings."""
    return lambda drawing, histogram, strength: pipeline.map_labels(to_labels(drawing), histogram, strength)


@torch.inference_mode()
def _neighbours(pipeline: SynthesisPipeline, latents: Array) -> Tensor:
    """For each latent the generator's own image of the one before it."""
    return pipeline.generator.images(torch.from_numpy(np.roll(latents, 1, 0)))


@torch.inference_mode()
def _proxy_masks(pipeline: SynthesisPipeline, labels: Array, latents: Array) -> Array:
    """Proxy masks of each latent's neighbour, uint8; `labels` say nothing about them."""
    return pipeline.segment(_neighbours(pipeline, latents)).to(torch.uint8).numpy()
