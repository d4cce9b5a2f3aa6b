"""Styles as callers ask for them, free of the wire's types. Holds what the caller sent, not yet checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StyleCode:
    """How one style of one image looks.

    Attributes:
        model: Name of the model that it is of.
        model_version: Version of that model.
        class_id: The lowest class of the image's label map that has the style.
        values: Its numbers.
        covered_class_ids: All classes of the image's label map that have the style.
    """

    model: str
    model_version: str
    class_id: int
    values: Sequence[float]
    covered_class_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class StyleSeed:
    """A style as a seed decides."""

    seed: int


@dataclass(frozen=True, slots=True)
class WeightedStyle:
    """A style in a blend; None for a message without."""

    weight: float
    style: StyleCode | StyleSeed | None


@dataclass(frozen=True, slots=True)
class StyleBlend:
    """The weighted sum of styles."""

    styles: Sequence[WeightedStyle]


Style = StyleCode | StyleSeed | StyleBlend

Styles = Mapping[int, Style | None]
"""Styles by class id; None for a message without."""


@dataclass(frozen=True, slots=True)
class MorphStyles:
    """The way from some styles to others.

    Attributes:
        from_styles: Those at position 0.
        to_styles: Those at position 1.
        frames: How many images of the way.
        first: Position of the first of them.
        last: Position of the last of them.
        spherical: Along the arc between the codes instead of straight.
    """

    from_styles: Styles
    to_styles: Styles
    frames: int
    first: float = 0.0
    last: float = 1.0
    spherical: bool = False
