"""What callers are told of a model."""

from __future__ import annotations

from collections.abc import Sequence

from maskweave.v1 import synthesis_pb2 as pb
from service.core.limits import Limits
from service.synthesis.registry.models import (
    ConditionKind,
    ConditionSupport,
    EditSupport,
    Method,
    Model,
    ReadingSupport,
    StyleSupport,
)
from service.synthesis.validation.edits import DEFAULT_BLEND_WIDTH

_METHOD_VALUES = {Method.SIS_UG: pb.METHOD_SIS_UG, Method.GROUPDNET: pb.METHOD_GROUPDNET}
_CONDITION_VALUES = {
    ConditionKind.LABEL_MAP: pb.CONDITION_KIND_LABEL_MAP,
    ConditionKind.SKETCH: pb.CONDITION_KIND_SKETCH,
    ConditionKind.SCRIBBLE: pb.CONDITION_KIND_SCRIBBLE,
    ConditionKind.PROXY_MASK: pb.CONDITION_KIND_PROXY_MASK,
    ConditionKind.EXEMPLAR: pb.CONDITION_KIND_EXEMPLAR,
}


def model_to_proto(
    model: Model, limits: Limits, max_message_bytes: int, versions: Sequence[str] = ()
) -> pb.Model:
    """Describe a model and what this service accepts for it; `versions` are those that can be asked for."""
    return pb.Model(
        name=model.name,
        title=model.title,
        description=model.description,
        version=model.version,
        palette=[
            pb.PaletteEntry(id=entry.id, name=entry.name, title=entry.title, color=entry.color)
            for entry in model.palette
        ],
        conditions=[_condition_to_proto(support, limits) for support in model.conditions.values()],
        image_width=model.image_width,
        image_height=model.image_height,
        latent_size=model.latent_size,
        latent_scale=model.latent_scale,
        limits=pb.Limits(
            max_images=limits.max_images,
            max_label_map_width=limits.max_side,
            max_label_map_height=limits.max_side,
            max_label_map_pixels=limits.max_pixels,
            max_png_bytes=limits.max_encoded_bytes,
            max_request_bytes=max_message_bytes,
            max_strokes=limits.max_strokes,
            max_stroke_points=limits.max_stroke_points,
            max_stroke_width=limits.max_stroke_width,
            max_stroke_pixels=limits.max_stroke_pixels,
            max_picture_bytes=limits.max_encoded_bytes,
            max_morph_frames=limits.max_morph_frames,
            max_morph_position=limits.max_morph_position,
            max_blend_styles=limits.max_blend_styles,
            max_style_weight=limits.max_style_weight,
            max_style_value=limits.max_style_value,
            max_style_seeds=limits.max_style_seeds,
        ),
        method=_METHOD_VALUES[model.method],
        styles=_styles_to_proto(model.styles) if model.styles else None,
        editing=_editing_to_proto(model.editing, limits) if model.editing else None,
        reading=_reading_to_proto(model.reading) if model.reading else None,
        available_versions=versions,
    )


def _condition_to_proto(support: ConditionSupport, limits: Limits) -> pb.ConditionSupport:
    allowed = support.style_strength
    sketch = support.kind is ConditionKind.SKETCH
    return pb.ConditionSupport(
        kind=_CONDITION_VALUES[support.kind],
        width=support.width,
        height=support.height,
        style_strength=None
        if allowed is None
        else pb.StyleStrengthRange(min=allowed.min, max=allowed.max, default_value=allowed.default),
        proxy_clusters=support.proxy_clusters,
        min_sketch_ink=limits.min_sketch_ink if sketch else 0,
        max_mean_sketch_ink=limits.max_mean_sketch_ink if sketch else 0,
    )


def _styles_to_proto(styles: StyleSupport) -> pb.StyleSupport:
    """Describe the styles of a model."""
    return pb.StyleSupport(
        style_size=styles.size, styles=[pb.StyleClasses(class_ids=ids) for ids in styles.classes]
    )


def _editing_to_proto(editing: EditSupport, limits: Limits) -> pb.EditSupport:
    """Describe how a model is edited."""
    return pb.EditSupport(
        pictures=editing.editor is not None,
        default_blend_width=DEFAULT_BLEND_WIDTH,
        max_blend_width=limits.max_blend_width,
    )


def _reading_to_proto(reading: ReadingSupport) -> pb.ReadingSupport:
    """Describe what label maps are read off."""
    return pb.ReadingSupport(pictures=reading.of_images is not None, seeds=reading.of_latents is not None)
