"""What callers can choose from: models with their palettes and the conditions they accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class ConditionKind(StrEnum):
    """Kinds of condition: what a caller draws or sends."""

    LABEL_MAP = "label_map"
    SKETCH = "sketch"
    SCRIBBLE = "scribble"
    PROXY_MASK = "proxy_mask"
    EXEMPLAR = "exemplar"

    @property
    def has_style_strength(self) -> bool:
        """Whether a mapper weighs it against the start: not where the proxy mask is given or read off."""
        return self not in (ConditionKind.PROXY_MASK, ConditionKind.EXEMPLAR)


class Method(StrEnum):
    """Ways of making images, as `maskweave.method` names them."""

    SIS_UG = "sis-ug"
    GROUPDNET = "groupdnet"


class Layout(StrEnum):
    """How the stages of a pack are put together in the model repository.

    `ENSEMBLE` is one model for each stage, so that the response cache can answer some of them; `FUSED` is all
    of them in one graph. The images are the same.
    """

    ENSEMBLE = "ensemble"
    FUSED = "fused"


class PaletteClass(BaseModel):
    """One class of a palette, as `maskweave.palette` holds it.

    Attributes:
        id: Its value in a label map.
        name: For programs.
        title: For people; the name when the repository gives none.
        color: `#rrggbb`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[int, Field(ge=0, le=255)]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    title: Annotated[str, Field(max_length=64)] = ""
    color: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]

    @model_validator(mode="before")
    @classmethod
    def _title_from_name(cls, data: object) -> object:
        return {"title": data.get("name"), **data} if isinstance(data, dict) else data


class StyleStrengthRange(BaseModel):
    """Allowed and default values of the style strength, as `maskweave.style_strength` holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: FiniteFloat
    min: FiniteFloat
    max: FiniteFloat

    @model_validator(mode="after")
    def _default_inside(self) -> Self:
        if not self.min <= self.default <= self.max:
            raise ValueError("min <= default <= max must hold")
        return self

    def __contains__(self, value: float) -> bool:
        """Whether a value is allowed, at the wire's precision: 0.1 as float32 is a little more than 0.1."""
        return bool(np.float32(self.min) <= np.float32(value) <= np.float32(self.max))


@dataclass(frozen=True, slots=True)
class ConditionSupport:
    """How a model takes one kind of condition.

    Attributes:
        served_by: Model of the repository that makes images from it.
        layout: Whether that is an ensemble or a fused graph.
        width: Width at which the ensemble reads it, in pixels.
        height: Height at which the ensemble reads it, in pixels.
        style_strength: What the style strength may be; None for models and kinds that have none.
        kind: The kind.
        proxy_clusters: For proxy masks, how many clusters there are; 0 for other kinds.
    """

    served_by: str
    layout: Layout
    width: int
    height: int
    style_strength: StyleStrengthRange | None
    kind: ConditionKind = ConditionKind.LABEL_MAP
    proxy_clusters: int = 0


@dataclass(frozen=True)
class StyleSupport:
    """The styles of a model: how one class looks, or several that belong together.

    Attributes:
        encoder: Model of the repository that reads the styles of an image.
        prior: Model of the repository that draws styles from a latent.
        size: Numbers in a style's code.
        style_of_class: For each class id of the palette, in order, the index of its style.
    """

    encoder: str
    prior: str
    size: int
    style_of_class: Mapping[int, int]

    @cached_property
    def classes(self) -> tuple[tuple[int, ...], ...]:
        """For each style the ids of its classes, in order."""
        return tuple(
            tuple(class_id for class_id, style in self.style_of_class.items() if style == index)
            for index in range(self.count)
        )

    @cached_property
    def count(self) -> int:
        """How many styles there are."""
        return max(self.style_of_class.values()) + 1


@dataclass(frozen=True, slots=True)
class EditSupport:
    """How a model is edited.

    Attributes:
        editor: Model of the repository that edits images; None if only what comes from seeds can be edited.
    """

    editor: str | None


@dataclass(frozen=True, slots=True)
class ReadingSupport:
    """How label maps are read off images of a model's kind; at least one of both is there.

    Attributes:
        of_images: Model of the repository that reads them off images; None if there is none.
        of_latents: Model of the repository that makes the generator's own image of a latent, without any
            condition, and reads its label map off it; None if there is none.
    """

    of_images: str | None
    of_latents: str | None


@dataclass(frozen=True)
class Model:
    """A pack as callers see it.

    Attributes:
        name: Name that requests use.
        title: Name for people.
        description: What it makes, in one sentence.
        version: Semantic version of the weights.
        palette: The classes, ordered by id.
        conditions: The kinds of condition it accepts.
        image_width: Width of the images in pixels.
        image_height: Height of the images in pixels.
        latent_size: Numbers in a latent.
        latent_scale: Standard deviation of a seed's latent.
        method: How it makes images.
        styles: Its styles; None for methods without.
        editing: How it is edited; None if it cannot be.
        reading: How label maps are read off images; None if they cannot be.
        other_versions: What is served of it beside this version, by version, the newest first; empty for
            those that are in such a mapping themselves.
    """

    name: str
    title: str
    description: str
    version: str
    palette: tuple[PaletteClass, ...]
    conditions: Mapping[ConditionKind, ConditionSupport]
    image_width: int
    image_height: int
    latent_size: int
    latent_scale: float
    method: Method = Method.SIS_UG
    styles: StyleSupport | None = None
    editing: EditSupport | None = None
    reading: ReadingSupport | None = None
    other_versions: Mapping[str, Model] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def all_versions(self) -> tuple[Model, ...]:
        """This version and the others, the newest first."""
        return tuple(
            sorted((self, *self.other_versions.values()), key=lambda each: precedence(each.version))[::-1]
        )

    @cached_property
    def id_of_colour(self) -> Mapping[tuple[int, int, int], int]:
        """The class ids by their colours: red, green, blue, 0 to 255."""
        return {
            (int(entry.color[1:3], 16), int(entry.color[3:5], 16), int(entry.color[5:7], 16)): entry.id
            for entry in self.palette
        }

    @cached_property
    def class_ids(self) -> tuple[int, ...]:
        """The ids of the palette, in order."""
        return tuple(entry.id for entry in self.palette)


def precedence(version: str) -> tuple[Any, ...]:
    """What versions are ordered by: https://semver.org, section 11, and then by what is built."""
    core, _, build = version.partition("+")
    numbers, _, before = core.partition("-")
    identifiers = [
        (0, int(each), "") if each.isdecimal() else (1, 0, each) for each in before.split(".") if before
    ]
    return tuple(map(int, numbers.split("."))), not before, identifiers, build
