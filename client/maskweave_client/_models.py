"""What the service says about its models."""

from __future__ import annotations

from dataclasses import dataclass

from maskweave.v1 import synthesis_pb2 as pb
from maskweave_client._palette import Palette, PaletteEntry


@dataclass(frozen=True)
class StyleStrength:
    """What the style strength may be.

    Attributes:
        min: Least value: follows the condition most closely.
        max: Greatest value: stays closest to the image that the seed alone would give.
        default: Value used when none is given.
    """

    min: float
    max: float
    default: float


@dataclass(frozen=True)
class Condition:
    """A kind of condition that a model accepts.

    Attributes:
        kind: `label_map`, `sketch`, `scribble`, `proxy_mask` or `exemplar`.
        width: Width at which the model reads it, in pixels; other sizes are resized, but not a proxy mask.
        height: Height at which the model reads it, in pixels; other sizes are resized, but not a proxy mask.
        style_strength: What the style strength may be for it; None for models and kinds that have none.
        proxy_clusters: For `proxy_mask`, how many clusters there are; 0 for other kinds.
        min_sketch_ink: For `sketch`, the least ink of its darkest pixel, of 255; 0 for other kinds.
        max_mean_sketch_ink: For `sketch`, the most ink of its pixels on average, of 255; 0 for other kinds.
    """

    kind: str
    width: int
    height: int
    style_strength: StyleStrength | None
    proxy_clusters: int = 0
    min_sketch_ink: int = 0
    max_mean_sketch_ink: int = 0


@dataclass(frozen=True)
class StyleSupport:
    """The styles of a model: how one class looks, or several that belong together.

    Attributes:
        style_size: Numbers in `StyleCode.values`.
        styles: For each style the ids of its classes.
    """

    style_size: int
    styles: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class EditSupport:
    """What `Client.edit` takes for a model.

    Attributes:
        images: Whether images can be edited; what comes from a seed always can.
        default_blend_width: Width of the soft edge when none is given, in pixels of the image.
        max_blend_width: The greatest that is allowed.
    """

    images: bool
    default_blend_width: float
    max_blend_width: float


@dataclass(frozen=True)
class ReadingSupport:
    """What `Client.read_label_map` reads label maps off, for a model.

    Attributes:
        images: Whether off images.
        seeds: Whether off what the model's generator makes of seeds and latents by itself.
    """

    images: bool
    seeds: bool


@dataclass(frozen=True)
class Limits:
    """The largest requests that the service accepts, limits included.

    Attributes:
        max_images: Images in one request.
        max_label_map_width: Width of a label map, sketch, scribble or exemplar in pixels.
        max_label_map_height: Height of a label map, sketch, scribble or exemplar in pixels.
        max_label_map_pixels: Width times height of a label map, sketch, scribble or exemplar.
        max_png_bytes: Size of a PNG file in bytes.
        max_request_bytes: Size of a request message in bytes.
        max_strokes: Strokes in one update of a painting, or in one scribble.
        max_stroke_points: Points of these strokes together.
        max_stroke_width: Width of a stroke in pixels of the canvas; the least is 1.
        max_stroke_pixels: Pixels of the canvas that these strokes may go over together: for each segment its
            bounding box, widened by the stroke's width.
        max_image_bytes: Size of an image file (encoded, a sketch or an exemplar) in bytes.
        max_morph_frames: Frames of one morph.
        max_morph_position: How far from 0 the position of a frame may lie, either way.
        max_blend_styles: Styles in one blend.
        max_style_weight: Weight of a style in a blend, either way.
        max_style_value: Number of a style code, either way.
        max_style_seeds: Different seeds in all styles of one request.
    """

    max_images: int
    max_label_map_width: int
    max_label_map_height: int
    max_label_map_pixels: int
    max_png_bytes: int
    max_request_bytes: int
    max_strokes: int
    max_stroke_points: int
    max_stroke_width: float
    max_stroke_pixels: int
    max_image_bytes: int
    max_morph_frames: int
    max_morph_position: float
    max_blend_styles: int
    max_style_weight: float
    max_style_value: float
    max_style_seeds: int


@dataclass(frozen=True)
class Model:
    """A model that the service offers.

    Attributes:
        name: Name that requests use.
        title: Name for people.
        description: What it makes, in one sentence.
        version: Semantic version of its weights.
        palette: The classes of its label maps.
        conditions: The kinds of condition it accepts, as far as this client knows them.
        image_width: Width of the images in pixels.
        image_height: Height of the images in pixels.
        latent_size: Numbers in a latent.
        latent_scale: Standard deviation of a seed's latent.
        limits: The largest requests.
        method: How it makes images, `sis-ug` or `groupdnet`; `unknown` for what this client does not know.
        styles: Its styles; None for models without.
        editing: What can be edited; None for models that cannot be.
        available_versions: The versions that requests can name, the newest first; empty when the service is
            too old for it.
        reading: What label maps are read off; None for models that read none, and when the service is too old
            for it.
    """

    name: str
    title: str
    description: str
    version: str
    palette: Palette
    conditions: tuple[Condition, ...]
    image_width: int
    image_height: int
    latent_size: int
    latent_scale: float
    limits: Limits
    method: str
    styles: StyleSupport | None
    editing: EditSupport | None
    available_versions: tuple[str, ...] = ()
    reading: ReadingSupport | None = None


_METHODS = {pb.METHOD_SIS_UG: "sis-ug", pb.METHOD_GROUPDNET: "groupdnet"}
_KINDS = {
    pb.CONDITION_KIND_LABEL_MAP: "label_map",
    pb.CONDITION_KIND_SKETCH: "sketch",
    pb.CONDITION_KIND_SCRIBBLE: "scribble",
    pb.CONDITION_KIND_PROXY_MASK: "proxy_mask",
    pb.CONDITION_KIND_EXEMPLAR: "exemplar",
}


def model_from_proto(message: pb.Model) -> Model:
    """Read the service's description of a model."""
    limits = message.limits
    return Model(
        name=message.name,
        title=message.title,
        description=message.description,
        version=message.version,
        palette=Palette(tuple(PaletteEntry(e.id, e.name, e.title, e.color) for e in message.palette)),
        conditions=tuple(_condition(each) for each in message.conditions if each.kind in _KINDS),
        image_width=message.image_width,
        image_height=message.image_height,
        latent_size=message.latent_size,
        latent_scale=message.latent_scale,
        limits=Limits(
            max_images=limits.max_images,
            max_label_map_width=limits.max_label_map_width,
            max_label_map_height=limits.max_label_map_height,
            max_label_map_pixels=limits.max_label_map_pixels,
            max_png_bytes=limits.max_png_bytes,
            max_request_bytes=limits.max_request_bytes,
            max_strokes=limits.max_strokes,
            max_stroke_points=limits.max_stroke_points,
            max_stroke_width=limits.max_stroke_width,
            max_stroke_pixels=limits.max_stroke_pixels,
            max_image_bytes=limits.max_picture_bytes,
            max_morph_frames=limits.max_morph_frames,
            max_morph_position=limits.max_morph_position,
            max_blend_styles=limits.max_blend_styles,
            max_style_weight=limits.max_style_weight,
            max_style_value=limits.max_style_value,
            max_style_seeds=limits.max_style_seeds,
        ),
        method=_METHODS.get(message.method, "unknown"),
        styles=_styles(message.styles) if message.HasField("styles") else None,
        editing=_editing(message.editing) if message.HasField("editing") else None,
        available_versions=tuple(message.available_versions),
        reading=_reading(message.reading) if message.HasField("reading") else None,
    )


def _condition(message: pb.ConditionSupport) -> Condition:
    allowed = message.style_strength
    return Condition(
        kind=_KINDS[message.kind],
        width=message.width,
        height=message.height,
        style_strength=StyleStrength(allowed.min, allowed.max, allowed.default_value)
        if message.HasField("style_strength")
        else None,
        proxy_clusters=message.proxy_clusters,
        min_sketch_ink=message.min_sketch_ink,
        max_mean_sketch_ink=message.max_mean_sketch_ink,
    )


def _styles(message: pb.StyleSupport) -> StyleSupport:
    return StyleSupport(message.style_size, tuple(tuple(each.class_ids) for each in message.styles))


def _editing(message: pb.EditSupport) -> EditSupport:
    return EditSupport(message.pictures, message.default_blend_width, message.max_blend_width)


def _reading(message: pb.ReadingSupport) -> ReadingSupport:
    return ReadingSupport(message.pictures, message.seeds)
